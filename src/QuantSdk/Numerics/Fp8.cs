namespace QuantSdk.Numerics;

/// <summary>8-bit floating point with a float scale a channel (or tensor, or block): scale = amax / largest value.</summary>
internal sealed class Fp8(SmallFloat element) : WeightFormat
{
    public override int DefaultBlock => 0;

    public override int Bits => 8;

    public override ReadOnlySpan<float> Values => element.Values;

    public override float[] EffectiveScales(ReadOnlySpan<byte> blockScales, float[] scales) => scales;

    protected override (byte[] BlockScales, float[] Scales) QuantiseScales(ReadOnlySpan<float> amax) => ([], [.. amax.ToArray().Select(element.Scale)]);

    protected override void EncodeBlock(ReadOnlySpan<float> values, float scale, Span<byte> codes) => element.Encode(values, scale, codes);
}
