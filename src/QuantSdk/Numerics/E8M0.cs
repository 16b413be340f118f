namespace QuantSdk.Numerics;

/// <summary>The scale type of the microscaling formats: a power of two, 2^(code − 127), code 0 to 254; 255 is NaN and never written.</summary>
internal static class E8M0
{
    public const int Bias = 127;

    /// <summary>
    /// The code of the least power of two with which ±<paramref name="amax"/> fits in <paramref name="element"/>:
    /// 2^ceil(log2(amax / max)), found in the bits of both, without a logarithm's rounding. Zero and what is smaller than the type reaches get code 0.
    /// </summary>
    public static byte Ceiling(float amax, SmallFloat element)
    {
        var (a, m) = (BitConverter.SingleToInt32Bits(Math.Abs(amax)), BitConverter.SingleToInt32Bits(element.Max));
        // amax/max = (1.f/1.g)·2^k: the power above is k where f ≤ g, k + 1 where f > g. A subnormal amax ends below code 0.
        var exponent = (a >> 23) - (m >> 23) + ((a & 0x7FFFFF) > (m & 0x7FFFFF) ? 1 : 0);
        return (byte)Math.Clamp(exponent + Bias, 0, 254);
    }

    public static float Decode(byte code) => code == 255 ? float.NaN : MathF.ScaleB(1, code - Bias);
}
