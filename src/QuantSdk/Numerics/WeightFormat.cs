using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace QuantSdk.Numerics;

/// <summary>
/// A format of weights whose codes are not integers: value = table[code] × scale of the block. Blocks run along the reduction axis, so that
/// a product can apply a scale to a partial sum.
/// </summary>
internal abstract class WeightFormat
{
    public static IReadOnlyList<string> Names { get; } = ["fp8", "fp8-e5m2", "nf4", "mxfp8", "nvfp4"];

    public static WeightFormat Of(string name) => name switch
    {
        "fp8" => new Fp8(SmallFloat.E4M3),
        "fp8-e5m2" => new Fp8(SmallFloat.E5M2),
        "nf4" => new Nf4(),
        "mxfp8" => new Mxfp8(),
        "nvfp4" => new Nvfp4(),
        _ => throw new ArgumentOutOfRangeException(nameof(name), name, string.Join(", ", Names)),
    };

    /// <summary>Weights that share a scale where nothing else is said; 0: all of an output channel.</summary>
    public abstract int DefaultBlock { get; }

    /// <summary>Bits of a code: 4 or 8.</summary>
    public abstract int Bits { get; }

    /// <summary>The value of each code at scale 1.</summary>
    public abstract ReadOnlySpan<float> Values { get; }

    /// <param name="weights">Finite values; an infinity saturates, NaN gives the type's NaN or its largest value.</param>
    /// <param name="dims">Shape of the weight.</param>
    /// <param name="axis">Axis of the output channels; null: no block ends before the last weight, which makes fp8 per tensor.</param>
    /// <param name="blockSize">Weights along the reduction axis that share a scale; 0: all of a channel; null: <see cref="DefaultBlock"/>.</param>
    public EncodedWeight Encode(ReadOnlySpan<float> weights, IReadOnlyList<long> dims, int? axis, int? blockSize = null)
    {
        var block = blockSize ?? DefaultBlock;
        var layout = new ReductionRows(dims, axis, block > 0);
        if (layout.InOrder)
            return EncodeRows(weights, dims, axis, layout, block);
        var rows = new float[weights.Length];
        layout.Gather(weights, rows);
        return EncodeRows(rows, dims, axis, layout, block);
    }

    /// <summary>The numbers that the codes stand for, in the weight's own order.</summary>
    public float[] Decode(EncodedWeight encoded)
    {
        var codes = Bits == 8 ? encoded.Codes : Nibbles.Unpack(encoded.Codes, encoded.Channels * encoded.Reduction);
        var scales = EffectiveScales(encoded.BlockScales, encoded.Scales);
        var rows = new float[codes.Length];
        var values = Values;
        var block = 0;
        for (var row = 0; row < encoded.Channels; row++)
        {
            for (var start = 0; start < encoded.Reduction; start += encoded.BlockSize)
            {
                var scale = scales[block++];
                for (var i = row * encoded.Reduction + start; i < row * encoded.Reduction + Math.Min(encoded.Reduction, start + encoded.BlockSize); i++)
                    rows[i] = values[codes[i]] * scale;
            }
        }
        return encoded.InOwnOrder<float>(rows);
    }

    /// <summary>How the scales of blocks are stored.</summary>
    /// <param name="amax">Largest magnitude of each block.</param>
    protected abstract (byte[] BlockScales, float[] Scales) QuantiseScales(ReadOnlySpan<float> amax);

    /// <summary>What a code's value is multiplied with, for each block; positive and not zero.</summary>
    public abstract float[] EffectiveScales(ReadOnlySpan<byte> blockScales, float[] scales);

    /// <summary>Codes of value / scale, one a byte.</summary>
    protected abstract void EncodeBlock(ReadOnlySpan<float> values, float scale, Span<byte> codes);

    private EncodedWeight EncodeRows(ReadOnlySpan<float> rows, IReadOnlyList<long> dims, int? axis, ReductionRows layout, int blockSize)
    {
        var (channels, reduction) = (layout.Channels, layout.Reduction);
        // At least 1, so that an empty weight has no blocks rather than a division by zero.
        var size = blockSize == 0 ? Math.Max(1, reduction) : blockSize;
        var blocks = (reduction + size - 1) / size;
        var amax = new float[channels * blocks];
        for (var (row, block) = (0, 0); row < channels; row++)
        {
            for (var start = 0; start < reduction; start += size)
                amax[block++] = Amax(rows.Slice(row * reduction + start, Math.Min(size, reduction - start)));
        }
        var (blockScales, scales) = QuantiseScales(amax);
        var effective = EffectiveScales(blockScales, scales);
        var codes = new byte[rows.Length];
        for (var (row, block) = (0, 0); row < channels; row++)
        {
            for (var start = 0; start < reduction; start += size)
            {
                var (first, length) = (row * reduction + start, Math.Min(size, reduction - start));
                EncodeBlock(rows.Slice(first, length), effective[block++], codes.AsSpan(first, length));
            }
        }
        return new EncodedWeight([.. dims], axis, channels, reduction, size, Bits == 8 ? codes : Nibbles.Pack(codes), blockScales, scales);
    }

    private static float Amax(ReadOnlySpan<float> values)
    {
        var amax = Vector512<float>.Zero;
        ref var first = ref MemoryMarshal.GetReference(values);
        var i = 0;
        for (; i <= values.Length - 16; i += 16)
            amax = Vector512.Max(amax, Vector512.Abs(Vector512.LoadUnsafe(ref first, (nuint)i)));
        var result = 0f;
        for (var lane = 0; i >= 16 && lane < 16; lane++)
            result = Math.Max(result, amax[lane]);
        for (; i < values.Length; i++)
            result = Math.Max(result, Math.Abs(values[i]));
        return result;
    }
}
