using System.Numerics;
using System.Runtime.InteropServices;

namespace QuantSdk.Runtime;

/// <summary>Sums of scaled tensors, the step of every sampler, in few passes over memory.</summary>
internal static class LinearCombination
{
    /// <summary>x ← a·y.</summary>
    public static void Scale<T>(Span<T> x, T a, ReadOnlySpan<T> y)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        y = y[..x.Length];
        var i = 0;
        for (; i <= x.Length - Vector<T>.Count; i += Vector<T>.Count)
            (new Vector<T>(y[i..]) * a).CopyTo(x[i..]);
        for (; i < x.Length; i++)
            x[i] = y[i] * a;
    }

    /// <summary>x ← a·y + b·z; x may be y.</summary>
    public static void Assign<T>(Span<T> x, T a, ReadOnlySpan<T> y, T b, ReadOnlySpan<T> z)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        y = y[..x.Length];
        z = z[..x.Length];
        var i = 0;
        if (typeof(T) == typeof(float))
        {
            var p = MemoryMarshal.Cast<T, float>(x);
            var q = MemoryMarshal.Cast<T, float>(y);
            var r = MemoryMarshal.Cast<T, float>(z);
            var (vectorA, vectorB) = (new Vector<float>(float.CreateTruncating(a)), new Vector<float>(float.CreateTruncating(b)));
            for (; i <= p.Length - Vector<float>.Count; i += Vector<float>.Count)
                Vector.FusedMultiplyAdd(new Vector<float>(q[i..]), vectorA, new Vector<float>(r[i..]) * vectorB).CopyTo(p[i..]);
        }
        for (; i < x.Length; i++)
            x[i] = T.FusedMultiplyAdd(y[i], a, z[i] * b);
    }

    /// <summary>x ← x + a·y.</summary>
    public static void Add<T>(Span<T> x, T a, ReadOnlySpan<T> y)
        where T : unmanaged, IFloatingPointIeee754<T> => Assign(x, T.One, x, a, y);
}
