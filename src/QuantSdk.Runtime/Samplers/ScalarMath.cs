namespace QuantSdk.Runtime;

/// <summary>
/// The functions of one float32 number from which samplers make the coefficients of their steps, rounded to the nearest. torch computes the
/// coefficients in float32 too; its vector library misses the nearest number by one unit in the last place now and then.
/// </summary>
internal class ScalarMath
{
    public static ScalarMath Nearest { get; } = new();

    public virtual float Sqrt(float x) => MathF.Sqrt(x);

    public virtual float Log(float x) => (float)Math.Log(x);

    public virtual float Exp(float x) => (float)Math.Exp(x);

    /// <summary>eˣ − 1 without losing the low bits of a small x (Kahan).</summary>
    public virtual float Expm1(float x)
    {
        var exponential = Math.Exp(x);
        return exponential == 1 ? x
            : exponential is 0 or double.PositiveInfinity ? (float)(exponential - 1)
            : (float)((exponential - 1) * x / Math.Log(exponential));
    }
}
