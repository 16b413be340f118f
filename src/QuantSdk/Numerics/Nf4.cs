using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace QuantSdk.Numerics;

/// <summary>
/// 4-bit NormalFloat (Dettmers et al., "QLoRA", arXiv 2305.14314, appendix E): the nearest of sixteen quantiles of a normal distribution,
/// times the largest magnitude of a block of 64. Those maxima are quantised again: less their mean, symmetric int8, one scale for 256 of them.
/// </summary>
/// <param name="doubleQuantisation">False: the maxima stay floats, as kernels take them; 4.5 bits a weight in place of 4.127.</param>
internal sealed class Nf4(bool doubleQuantisation = true) : WeightFormat
{
    /// <summary>Block maxima that share a scale.</summary>
    public const int MaximaBlock = 256;

    /// <summary>The code of 0.</summary>
    public const int ZeroCode = 7;

    private static readonly float[] s_values =
    [
        -1, -0.6961928009986877f, -0.5250730514526367f, -0.39491748809814453f, -0.28444138169288635f, -0.18477343022823334f, -0.09105003625154495f, 0,
        0.07958029955625534f, 0.16093020141124725f, 0.24611230194568634f, 0.33791524171829224f, 0.44070982933044434f, 0.5626170039176941f, 0.7229568362236023f, 1,
    ];

    /// <summary>The largest float not above the middle of two values: what is larger is nearer to the upper one.</summary>
    private static readonly float[] s_thresholds = [.. s_values.Zip(s_values.Skip(1), Threshold)];

    public override int DefaultBlock => 64;

    public override int Bits => 4;

    public override ReadOnlySpan<float> Values => s_values;

    public override float[] EffectiveScales(ReadOnlySpan<byte> blockScales, float[] scales)
    {
        if (!doubleQuantisation)
            return scales;
        var maxima = new float[blockScales.Length];
        for (var i = 0; i < maxima.Length; i++)
            maxima[i] = Math.Max((sbyte)blockScales[i] * scales[1 + i / MaximaBlock] + scales[0], Int8Weights.LeastScale);
        return maxima;
    }

    /// <summary>Codes of value / scale; a value halfway between two entries gets the lower one.</summary>
    public static void Encode(ReadOnlySpan<float> values, float scale, Span<byte> codes)
    {
        ref var first = ref MemoryMarshal.GetReference(values);
        ref var target = ref MemoryMarshal.GetReference(codes[..values.Length]);
        var i = 0;
        for (; i <= values.Length - 16; i += 16)
        {
            var value = Vector512.LoadUnsafe(ref first, (nuint)i) / scale;
            var code = Vector512<int>.Zero;
            // A comparison that holds is −1 in every lane.
            foreach (var threshold in s_thresholds)
                code -= Vector512.GreaterThan(value, Vector512.Create(threshold)).AsInt32();
            var shorts = Vector256.Narrow(code.GetLower().AsUInt32(), code.GetUpper().AsUInt32());
            Vector128.Narrow(shorts.GetLower(), shorts.GetUpper()).StoreUnsafe(ref target, (nuint)i);
        }
        for (; i < values.Length; i++)
        {
            byte code = 0;
            foreach (var threshold in s_thresholds)
                code += values[i] / scale > threshold ? (byte)1 : (byte)0;
            codes[i] = code;
        }
    }

    protected override (byte[] BlockScales, float[] Scales) QuantiseScales(ReadOnlySpan<float> amax)
    {
        var maxima = amax.ToArray();
        if (!doubleQuantisation)
            return ([], Array.ConvertAll(maxima, a => a > 0 ? Math.Max(a, Int8Weights.LeastScale) : 1));
        var mean = maxima.Length == 0 ? 0 : (float)maxima.Average(a => (double)a);
        var scales = maxima.Chunk(MaximaBlock).Select(chunk => Int8Grid.Symmetric(chunk.Max(a => Math.Abs(a - mean))).Scale).ToArray();
        var codes = new byte[maxima.Length];
        for (var i = 0; i < codes.Length; i++)
            codes[i] = (byte)(sbyte)Math.Clamp(MathF.Round((maxima[i] - mean) / scales[i / MaximaBlock], MidpointRounding.ToEven), -127, 127);
        return (codes, [mean, .. scales]);
    }

    protected override void EncodeBlock(ReadOnlySpan<float> values, float scale, Span<byte> codes) => Encode(values, scale, codes);

    private static float Threshold(float low, float high)
    {
        var middle = ((double)low + high) / 2;
        return (float)middle > middle ? MathF.BitDecrement((float)middle) : (float)middle;
    }
}
