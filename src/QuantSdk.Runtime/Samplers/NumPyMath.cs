namespace QuantSdk.Runtime;

/// <summary>A function of one float32 number, to the bit as NumPy computes it on x86 CPUs: a quotient of polynomials, up to 4 units in the last place from the nearest number.</summary>
internal static class NumPyMath
{
    /// <summary>log(1 + r) ≈ P(r)/Q(r) for 1 + r between √½ and √2; the coefficients that NumPy has, the highest first.</summary>
    private static readonly float[]
        s_numerator = [2.589979117907922693523e-02f, 3.808837741388407920751e-01f, 1.480000633576506585156e+00f, 2.112677543073053063722e+00f, 1, 0],
        s_denominator = [5.875095403124574342950e-03f, 1.546476374983906719538e-01f, 9.864942958519418960339e-01f, 2.453006071784736363091e+00f, 2.612677543073109236779e+00f, 1];

    /// <summary>log x = e·log 2 + log m, x = 2ᵉ·m.</summary>
    public static float Log(float x)
    {
        if (!float.IsNormal(x) || x < 0)
            return MathF.Log(x);
        var exponent = MathF.ILogB(x) + 1;
        var significand = MathF.ScaleB(x, -exponent);
        if (significand <= 0.707106769f)
            (exponent, significand) = (exponent - 1, 2 * significand);
        var r = significand - 1;
        return MathF.FusedMultiplyAdd(exponent, 0.693147182f, Polynomial(s_numerator, r) / Polynomial(s_denominator, r));
    }

    private static float Polynomial(float[] coefficients, float x)
    {
        var sum = coefficients[0];
        foreach (var coefficient in coefficients.AsSpan(1))
            sum = MathF.FusedMultiplyAdd(sum, x, coefficient);
        return sum;
    }
}
