using QuantSdk.Calibration;
using QuantSdk.Onnx;

namespace QuantSdk.Planning;

/// <summary>Placement and observed ranges to a <see cref="Plan"/>.</summary>
internal static class Planner
{
    public static Plan Make(OnnxModel model, Placement placement, CalibrationTable calibration)
    {
        var weights = model.Graph.Initializer.ToDictionary(t => t.Name, StringComparer.Ordinal);
        var layers = placement.Layers.Select(layer => new LayerPlan(
            layer.Node.Label(), layer.Op, layer.Module,
            Tensor(calibration[layer.Activation]),
            new WeightPlan(layer.Weight, "int8", layer.WeightAxis),
            layer.Bias,
            layer.IsConvolution ? Tensor(calibration[layer.Output]) : null,
            Macs(layer, weights[layer.Weight], calibration))).ToArray();
        return new Plan(1, layers, placement.Kept);
    }

    private static TensorPlan Tensor(TensorCalibration c) => new(c.Name, "int8", c.Low, c.High, c.Amax);

    /// <summary>Every weight is used once for each output position (Conv), input position (ConvTranspose) or row (linear).</summary>
    internal static long Macs(Layer layer, TensorProto weight, CalibrationTable calibration)
    {
        var elements = weight.Count();
        return layer.Op switch
        {
            "Conv" => calibration[layer.Output].ElementsPerRow / weight.Dims[0] * elements,
            "ConvTranspose" => calibration[layer.Activation].ElementsPerRow / weight.Dims[0] * elements,
            _ => calibration[layer.Activation].ElementsPerRow * weight.Dims[layer.WeightAxis],
        };
    }
}
