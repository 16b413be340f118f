using System.Numerics;

namespace QuantSdk.Runtime;

/// <summary>x ← a·x + b·y, the step of every linear sampler, in one pass over memory.</summary>
internal static class LinearCombination
{
    public static void Assign(Span<float> x, float a, ReadOnlySpan<float> y, float b)
    {
        y = y[..x.Length];
        var (vectorA, vectorB) = (new Vector<float>(a), new Vector<float>(b));
        var i = 0;
        for (; i <= x.Length - Vector<float>.Count; i += Vector<float>.Count)
            Vector.FusedMultiplyAdd(new Vector<float>(x[i..]), vectorA, new Vector<float>(y[i..]) * vectorB).CopyTo(x[i..]);
        for (; i < x.Length; i++)
            x[i] = MathF.FusedMultiplyAdd(x[i], a, y[i] * b);
    }
}
