namespace QuantSdk.Planning;

/// <summary>Where output and input channels are in a weight: strides over its flat, row-major values.</summary>
internal sealed record WeightShape(int Outputs, int InputsPerGroup, int Groups, int Taps, long OutputStride, long InputStride, bool Transposed, bool OutputsFirst)
{
    /// <param name="op">Conv, ConvTranspose, Gemm or MatMul.</param>
    /// <param name="axis">Axis of the output channels.</param>
    public static WeightShape Of(string op, int axis, IReadOnlyList<long> dims, int groups)
    {
        var taps = (int)dims.Skip(2).Aggregate(1L, (a, b) => a * b);
        return op switch
        {
            // [O, I/g, k…]
            "Conv" => new((int)dims[0], (int)dims[1], groups, taps, dims[1] * taps, taps, false, true),
            // [I, O/g, k…]
            "ConvTranspose" => new((int)dims[1] * groups, (int)dims[0] / groups, groups, taps, taps, dims[1] * taps, true, false),
            _ => axis == 0
                ? new((int)dims[0], (int)dims[1], 1, 1, dims[1], 1, false, true)
                : new((int)dims[1], (int)dims[0], 1, 1, 1, dims[1], false, false),
        };
    }

    /// <summary>Output channel, and input channel within its group, of the value at a flat index.</summary>
    public (int Output, int Input) Position(int index)
    {
        if (Transposed)
        {
            var input = (int)(index / InputStride);
            var group = input / InputsPerGroup;
            return (group * (Outputs / Groups) + (int)(index % InputStride / OutputStride), input % InputsPerGroup);
        }
        return OutputsFirst
            ? ((int)(index / OutputStride), (int)(index % OutputStride / InputStride))
            : ((int)(index % InputStride), (int)(index / InputStride));
    }

    /// <summary>The input channel, over all groups, of the value at a flat index.</summary>
    public int Channel(int index)
    {
        var (output, input) = Position(index);
        return output / (Outputs / Groups) * InputsPerGroup + input;
    }
}
