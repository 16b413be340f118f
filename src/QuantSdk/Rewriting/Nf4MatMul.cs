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

    /// <param name="name">What the names of its tensors begin with.</param>
    /// <param name="dims">Shape of the weight, a matrix.</param>
    /// <param name="axis">Axis of the output channels: 1 of [K, N], 0 of [N, K].</param>
    /// <param name="bias">One number an output channel, or null.</param>
    public static Fragment Write(string activation, string name, ReadOnlySpan<float> weights, IReadOnlyList<long> dims, int axis, string? bias, int blockSize = 0)
    {
        var (n, k) = (dims[axis], dims[1 - axis]);
        var encoded = Encode(weights, dims, axis, blockSize);
        var b = new FragmentBuilder(name + "_nf4");
        var codes = b.Constant(Tensors.Vector(name + "_nf4_q", Array.ConvertAll(encoded.Codes, c => (byte)(c << 4 | c >> 4))));
        var maxima = b.Constant(Tensors.Vector(name + "_nf4_absmax", encoded.Scales));
        var product = b.Node(
            node => node.With("K", k).With("N", n).With("block_size", (long)encoded.BlockSize).With("quant_type", Nf4Type), Domain, "MatMulBnb4", 1, activation, codes, maxima)[0];
        return b.Finish(bias is null ? product : b.Node("Add", product, bias));
    }

    /// <summary>The kernel's blocks run through [N, K] without regard to where a row ends.</summary>
    internal static EncodedWeight Encode(ReadOnlySpan<float> weights, IReadOnlyList<long> dims, int axis, int blockSize)
    {
        var rows = weights.ToArray();
        if (axis == 1)
            new ReductionRows(dims, axis, true).Gather(weights, rows);
        var format = new Nf4(doubleQuantisation: false);
        return format.Encode(rows, [rows.Length], null, blockSize == 0 ? format.DefaultBlock : blockSize);
    }
}
