using QuantSdk.Numerics;
using QuantSdk.Onnx;

namespace QuantSdk.Rewriting;

/// <summary>
/// Products with nf4 weights as ONNX Runtime runs them: MatMulBnb4, whose weights stay 4 bits on disk and in memory. Block maxima are floats
/// (4.5 bits a weight), the first code of a byte is in the high nibble.
/// </summary>
internal static class Nf4MatMul
{
    public const string Domain = "com.microsoft";

    /// <summary>The kernel's code for NF4; 0 is FP4.</summary>
    private const long Nf4Type = 1;

    /// <summary>Why a layer of nf4 weights stays in float on the cpu, or null.</summary>
    public static string? Refusal(string op) => op is "MatMul" or "Gemm" ? null : $"ONNX Runtime has no nf4 {op}";

    /// <summary>A matrix in the kernel's blocks, which run through [N, K] without regard to where a row ends.</summary>
    /// <param name="axis">Axis of the output channels: 1 of [K, N], 0 of [N, K].</param>
    /// <param name="blockSize">0: the format's own.</param>
    /// <returns>The codes, and the numbers they stand for in the weight's own order.</returns>
    public static (EncodedWeight Encoded, float[] Decoded) Encode(float[] weights, IReadOnlyList<long> dims, int axis, int blockSize)
    {
        var layout = new ReductionRows(dims, axis, inBlocks: true);
        var rows = new float[weights.Length];
        if (layout.InOrder)
            weights.CopyTo(rows, 0);
        else
            layout.Gather<float>(weights, rows);
        var format = new Nf4(doubleQuantisation: false);
        var encoded = format.Encode(rows, [rows.Length], null, blockSize == 0 ? format.DefaultBlock : blockSize);
        var decoded = format.Decode(encoded);
        if (!layout.InOrder)
            layout.Scatter<float>(decoded, rows);
        return (encoded, layout.InOrder ? decoded : rows);
    }

    /// <param name="name">What the names of its tensors begin with.</param>
    /// <param name="dims">Shape of the weight, a matrix.</param>
    /// <param name="axis">Axis of the output channels.</param>
    /// <param name="bias">One number an output channel, or null.</param>
    public static Fragment Write(string activation, string name, EncodedWeight weight, IReadOnlyList<long> dims, int axis, string? bias)
    {
        var (n, k) = (dims[axis], dims[1 - axis]);
        var b = new FragmentBuilder(name + "_nf4");
        var codes = b.Constant(Tensors.Vector(name + "_nf4_q", Array.ConvertAll(weight.Codes, c => (byte)(c << 4 | c >> 4))));
        var maxima = b.Constant(Tensors.Vector(name + "_nf4_absmax", weight.Scales));
        var product = b.Node(
            node => node.With("K", k).With("N", n).With("block_size", (long)weight.BlockSize).With("quant_type", Nf4Type), Domain, "MatMulBnb4", 1, activation, codes, maxima)[0];
        return b.Finish(bias is null ? product : b.Node("Add", product, bias));
    }
}
