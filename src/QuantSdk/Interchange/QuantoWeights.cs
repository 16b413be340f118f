using System.Buffers.Binary;
using System.Numerics.Tensors;
using System.Runtime.InteropServices;
using QuantSdk.Numerics;

namespace QuantSdk.Interchange;

/// <summary>
/// Weights as optimum-quanto stores them, [output channels, …]: 8 bits (int8, fp8 E4M3) symmetric, one scale an output channel; 4 and 2 bits affine with
/// a float shift, in groups along the weights of a channel where these are more than 128.
/// </summary>
internal static class QuantoWeights
{
    /// <summary>The format's name in quanto_qmap.json.</summary>
    public static string QType(string format) => format switch
    {
        "int8" => "qint8",
        "fp8" => "qfloat8_e4m3fn",
        "int4" => "qint4",
        "int2" => "qint2",
        _ => throw new ArgumentOutOfRangeException(nameof(format), format, "int8, fp8, int4, int2"),
    };

    /// <summary>The tensors of one weight.</summary>
    /// <param name="name">The weight's key: `module.weight`.</param>
    /// <param name="weights">[O, …], O first.</param>
    public static IEnumerable<SafetensorsTensor> Encode(string name, string format, float[] weights, IReadOnlyList<long> shape) =>
        format switch
        {
            "int8" => Integers(name, weights, shape),
            "fp8" => Floats8(name, weights, shape),
            _ => Affine(name, format == "int4" ? 4 : 2, weights, shape),
        };

    /// <summary>A float vector or scalar.</summary>
    public static SafetensorsTensor Float(string name, ReadOnlySpan<float> values, params long[] shape)
    {
        var bytes = new byte[values.Length * sizeof(float)];
        for (var i = 0; i < values.Length; i++)
            BinaryPrimitives.WriteSingleLittleEndian(bytes.AsSpan(i * sizeof(float)), values[i]);
        return new SafetensorsTensor(name, "F32", shape, bytes);
    }

    /// <summary>128, 96, 64 or 32 weights to a group: the largest that divides a channel of more than 128 weights; else null, a channel is one group.</summary>
    public static int? GroupSize(long channel) => channel <= 128 ? null : ((int[])[128, 96, 64, 32]).Cast<int?>().FirstOrDefault(size => channel % size == 0);

    private static SafetensorsTensor[] Integers(string name, float[] weights, IReadOnlyList<long> shape)
    {
        var (codes, scales) = Int8Weights.Encode(weights, shape, axis: 0);
        return Symmetric(name, "I8", MemoryMarshal.AsBytes(codes.AsSpan()).ToArray(), scales, shape);
    }

    private static SafetensorsTensor[] Floats8(string name, float[] weights, IReadOnlyList<long> shape)
    {
        var encoded = WeightFormat.Of("fp8").Encode(weights, shape, axis: 0);
        return Symmetric(name, "F8_E4M3", encoded.Codes, encoded.Scales, shape);
    }

    /// <summary>One channel is one tensor, and its scale a scalar.</summary>
    private static SafetensorsTensor[] Symmetric(string name, string dtype, byte[] codes, float[] scales, IReadOnlyList<long> shape) =>
        [new(name + "._data", dtype, shape, codes), Float(name + "._scale", scales, shape[0] == 1 ? [] : PerChannel(shape))];

    /// <summary>scale = (max − min)/(2^bits − 1), shift = −min, q = clamp(round-half-even((w + shift)/scale), 0, 2^bits − 1); w ≈ scale·q − shift.</summary>
    private static SafetensorsTensor[] Affine(string name, int bits, float[] weights, IReadOnlyList<long> shape)
    {
        var channel = weights.Length / (int)shape[0];
        var grouped = GroupSize(channel);
        var size = grouped ?? channel;
        var groups = weights.Length / size;
        var (scales, shifts, codes) = (new float[groups], new float[groups], new byte[weights.Length]);
        var most = (1 << bits) - 1;
        for (var group = 0; group < groups; group++)
        {
            var values = weights.AsSpan(group * size, size);
            var (min, max) = (TensorPrimitives.Min<float>(values), TensorPrimitives.Max<float>(values));
            // Equal weights are all −shift; quanto itself would divide by zero.
            scales[group] = max > min ? Math.Max((max - min) / most, Int8Weights.LeastScale) : 1;
            shifts[group] = 0f - min;
            for (var i = 0; i < size; i++)
                codes[group * size + i] = (byte)Math.Clamp(MathF.Round((values[i] + shifts[group]) / scales[group], MidpointRounding.ToEven), 0, most);
        }
        long[] data = grouped is null ? [.. shape] : [groups, size], scale = grouped is null ? PerChannel(shape) : [groups, 1];
        var (packed, rows) = Pack(codes, (int)data[0], bits);
        data[0] = rows;
        return [new(name + "._data._data", "U8", data, packed), Float(name + "._scale", scales, scale), Float(name + "._shift", shifts, scale)];
    }

    /// <summary>Rows are cut in 8/bits parts of equal length; a byte holds the code of the same place in each, the first part's in its low bits.</summary>
    private static (byte[] Packed, int Rows) Pack(byte[] codes, int rows, int bits)
    {
        var parts = 8 / bits;
        var packedRows = (rows + parts - 1) / parts;
        var columns = codes.Length / rows;
        var packed = new byte[packedRows * columns];
        for (var i = 0; i < codes.Length; i++)
            packed[i % packed.Length] |= (byte)(codes[i] << (bits * (i / packed.Length)));
        return (packed, packedRows);
    }

    /// <summary>[O, 1, …].</summary>
    private static long[] PerChannel(IReadOnlyList<long> shape) => [shape[0], .. Enumerable.Repeat(1L, shape.Count - 1)];
}
