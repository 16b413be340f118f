namespace QuantSdk.Numerics;

/// <summary>
/// Microscaling FP8 (OCP Microscaling Formats 1.0): blocks of 32 E4M3 elements with an E8M0 scale 2^ceil(log2(amax / 448)), so that no
/// element saturates.
/// </summary>
internal sealed class Mxfp8 : WeightFormat
{
    public const int BlockSize = 32;

    public override int DefaultBlock => BlockSize;

    public override int Bits => 8;

    public override ReadOnlySpan<float> Values => SmallFloat.E4M3.Values;

    public override float[] EffectiveScales(ReadOnlySpan<byte> blockScales, float[] scales) => Array.ConvertAll(blockScales.ToArray(), E8M0.Decode);

    protected override (byte[] BlockScales, float[] Scales) QuantiseScales(ReadOnlySpan<float> amax) => (Array.ConvertAll(amax.ToArray(), a => E8M0.Ceiling(a, SmallFloat.E4M3)), []);

    protected override void EncodeBlock(ReadOnlySpan<float> values, float scale, Span<byte> codes) => SmallFloat.E4M3.Encode(values, scale, codes);
}
