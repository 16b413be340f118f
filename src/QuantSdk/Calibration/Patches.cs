using QuantSdk.Onnx;

namespace QuantSdk.Calibration;

/// <summary>
/// What one output position of a layer reads of its input, as a vector in the order of the weight's reduction axis: the last axis for
/// linear layers, channels times taps (im2col) for a convolution of one group.
/// </summary>
internal sealed record Patches(int Length, int[]? Kernel, int[] Strides, int[] Dilations, int[] PadsBefore, int[] PadsAfter)
{
    public static Patches Linear(int length) => new(length, null, [], [], [], []);

    /// <summary>Null where the layer pads by itself (auto_pad) or has groups.</summary>
    public static Patches? Of(NodeProto conv, IReadOnlyList<long> weightDims)
    {
        if (conv.Int("group", 1) != 1 || conv.Attribute("auto_pad") is { } auto && auto.S.ToStringUtf8() is not ("" or "NOTSET" or "VALID"))
            return null;
        int[] kernel = [.. weightDims.Skip(2).Select(d => (int)d)];
        var pads = Ints("pads", 2, 0);
        return new Patches((int)weightDims[1] * kernel.Aggregate(1, (a, b) => a * b), kernel, Ints("strides", 1, 1), Ints("dilations", 1, 1), pads[..kernel.Length], pads[kernel.Length..]);

        int[] Ints(string name, int times, int fallback) =>
            conv.Attribute(name) is { } a && a.Ints.Count > 0 ? [.. a.Ints.Select(i => (int)i)] : [.. Enumerable.Repeat(fallback, kernel.Length * times)];
    }

    /// <summary>Output positions in one row of a tensor of this shape ([N, …]).</summary>
    public int Positions(ReadOnlySpan<long> shape)
    {
        if (Kernel is null)
        {
            long count = 1;
            for (var i = 1; i < shape.Length - 1; i++)
                count *= shape[i];
            return (int)count;
        }
        var positions = 1;
        for (var d = 0; d < Kernel.Length; d++)
            positions *= Extent(shape, d);
        return positions;
    }

    /// <summary>Copies the vector that an output position of a row reads.</summary>
    public void Read(ReadOnlySpan<float> row, ReadOnlySpan<long> shape, int position, Span<float> patch)
    {
        if (Kernel is null)
        {
            row.Slice(position * Length, Length).CopyTo(patch);
            return;
        }
        Span<int> start = stackalloc int[Kernel.Length];
        for (var d = Kernel.Length - 1; d >= 0; d--)
        {
            var extent = Extent(shape, d);
            start[d] = position % extent * Strides[d] - PadsBefore[d];
            position /= extent;
        }
        var spatial = 1;
        for (var d = 0; d < Kernel.Length; d++)
            spatial *= (int)shape[d + 2];
        var taps = Length / (int)shape[1];
        for (var tap = 0; tap < taps; tap++)
        {
            int offset = 0, rest = tap, scale = 1;
            var inside = true;
            for (var d = Kernel.Length - 1; d >= 0; d--)
            {
                var at = start[d] + rest % Kernel[d] * Dilations[d];
                rest /= Kernel[d];
                inside &= at >= 0 && at < shape[d + 2];
                offset += at * scale;
                scale *= (int)shape[d + 2];
            }
            for (var c = 0; c < (int)shape[1]; c++)
                patch[c * taps + tap] = inside ? row[c * spatial + offset] : 0;
        }
    }

    private int Extent(ReadOnlySpan<long> shape, int d) =>
        ((int)shape[d + 2] + PadsBefore[d] + PadsAfter[d] - Dilations[d] * (Kernel![d] - 1) - 1) / Strides[d] + 1;
}
