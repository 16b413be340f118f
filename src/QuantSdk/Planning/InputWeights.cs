using QuantSdk.Onnx;

namespace QuantSdk.Planning;

/// <summary>
/// A layer's weights seen from its input channels: W as [outputs, inputs, taps], whatever the operator's own layout. For grouped
/// convolutions an output sees the channels of its group alone.
/// </summary>
/// <param name="Largest">[outputs, inputs of a group]: the largest magnitude over the taps.</param>
/// <param name="Energy">[input channels]: Σ over outputs and taps of w².</param>
internal sealed record InputWeights(int Outputs, int InputsPerGroup, int Groups, int Taps, float[] Largest, double[] Energy)
{
    public int Channels => InputsPerGroup * Groups;

    /// <summary>The first input channel that an output sees.</summary>
    public int FirstInput(int output) => output / (Outputs / Groups) * InputsPerGroup;

    public static InputWeights Of(Layer layer, TensorProto weight)
    {
        var values = weight.ToFloats();
        var groups = layer.IsConvolution ? (int)layer.Node.Int("group", 1) : 1;
        var shape = WeightShape.Of(layer.Op, layer.WeightAxis, weight.Dims, groups);
        var largest = new float[shape.Outputs * shape.InputsPerGroup];
        var energy = new double[shape.InputsPerGroup * groups];
        for (var i = 0; i < values.Length; i++)
        {
            var (o, c) = shape.Position(i);
            var w = values[i];
            ref var most = ref largest[o * shape.InputsPerGroup + c];
            most = Math.Max(most, Math.Abs(w));
            energy[o / (shape.Outputs / groups) * shape.InputsPerGroup + c] += (double)w * w;
        }
        return new InputWeights(shape.Outputs, shape.InputsPerGroup, groups, shape.Taps, largest, energy);
    }
}
