using QuantSdk.Calibration;
using QuantSdk.Onnx;

namespace QuantSdk.Planning;

/// <summary>A layer's work at a batch size, from observed sizes and its weight.</summary>
internal static class LayerWork
{
    /// <param name="batch">Rows of the model's batch that run at once.</param>
    public static WorkShape Of(Layer layer, TensorProto weight, CalibrationTable calibration, int batch, bool bias)
    {
        var outputs = weight.Dims[layer.WeightAxis];
        if (!layer.IsConvolution)
        {
            var inputs = weight.Count() / outputs;
            return new WorkShape(WorkShape.Linear, Math.Max(1, batch * calibration[layer.Activation].ElementsPerRow / inputs), inputs, outputs, Bias: bias);
        }
        var groups = layer.Node.Int("group", 1);
        var positions = batch * calibration[layer.Output].ElementsPerRow / outputs;
        return WorkShape.OfConvolution(Math.Max(1, positions), weight.Dims[1] * groups, outputs, weight.Dims.Skip(2).Aggregate(1L, (a, d) => a * d), groups);
    }
}
