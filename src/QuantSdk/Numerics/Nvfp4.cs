namespace QuantSdk.Numerics;

/// <summary>
/// NVIDIA's FP4: blocks of 16 E2M1 elements with an E4M3 scale, and one float scale for the tensor. Tensor scale = amax/(6·448), block
/// scale = block amax/6/tensor scale, at least the least E4M3 subnormal, so that no block is lost to a scale of zero.
/// </summary>
/// <param name="tensorScale">A tensor scale known beforehand (activations); blocks that exceed it saturate. Null: from the values.</param>
internal sealed class Nvfp4(float? tensorScale = null) : WeightFormat
{
    public const int BlockSize = 16;

    /// <summary>The least tensor scale: its product with the least block scale, 2⁻⁹, is still a normal number.</summary>
    private const float LeastTensorScale = Int8Weights.LeastScale * 512;

    public override int DefaultBlock => BlockSize;

    public override int Bits => 4;

    public override ReadOnlySpan<float> Values => SmallFloat.E2M1.Values;

    /// <summary>amax / (6·448).</summary>
    public static float TensorScale(float amax) => amax > 0 ? Math.Max(amax / (6 * 448), LeastTensorScale) : 1;

    public override float[] EffectiveScales(ReadOnlySpan<byte> blockScales, float[] scales) => Array.ConvertAll(blockScales.ToArray(), code => SmallFloat.E4M3.Values[code] * scales[0]);

    protected override (byte[] BlockScales, float[] Scales) QuantiseScales(ReadOnlySpan<float> amax)
    {
        var most = 0f;
        foreach (var a in amax)
            most = Math.Max(most, a);
        var tensor = tensorScale ?? TensorScale(most);
        return (Array.ConvertAll(amax.ToArray(), a => Math.Max((byte)1, SmallFloat.E4M3.Encode(a / 6 / tensor))), [tensor]);
    }

    protected override void EncodeBlock(ReadOnlySpan<float> values, float scale, Span<byte> codes) => SmallFloat.E2M1.Encode(values, scale, codes);
}
