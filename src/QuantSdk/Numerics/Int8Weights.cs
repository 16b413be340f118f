using System.Numerics.Tensors;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace QuantSdk.Numerics;

/// <summary>
/// Symmetric int8 codes of weights, one scale a channel: s = amax/127, q = clamp(round-half-even(w/s), −127, 127). −128 is not used,
/// so that negation is exact.
/// </summary>
internal static class Int8Weights
{
    /// <summary>Scales are never zero or subnormal: runtimes divide by them.</summary>
    public const float LeastScale = 1.17549435e-38f;

    /// <param name="dims">Shape of the weight.</param>
    /// <param name="axis">Axis of the channels.</param>
    public static (sbyte[] Codes, float[] Scales) Encode(ReadOnlySpan<float> weights, IReadOnlyList<long> dims, int axis)
    {
        var channels = (int)dims[axis];
        var inner = (int)dims.Skip(axis + 1).Aggregate(1L, (a, b) => a * b);
        var outer = weights.Length / Math.Max(1, channels * inner);
        var amax = new float[channels];
        for (var o = 0; o < outer; o++)
        {
            if (inner == 1)
            {
                // Channels are adjacent: one row holds one weight of each.
                TensorPrimitives.MaxMagnitude(amax, weights.Slice(o * channels, channels), amax);
                continue;
            }
            for (var c = 0; c < channels; c++)
                amax[c] = Math.Max(amax[c], Amax(weights.Slice((o * channels + c) * inner, inner)));
        }
        TensorPrimitives.Abs(amax, amax);
        var scales = Array.ConvertAll(amax, a => a > 0 ? Math.Max(a / 127, LeastScale) : 1);
        var codes = new sbyte[weights.Length];
        for (var o = 0; o < outer; o++)
        {
            if (inner == 1)
            {
                Encode(weights.Slice(o * channels, channels), scales, codes.AsSpan(o * channels, channels));
                continue;
            }
            for (var c = 0; c < channels; c++)
            {
                var start = (o * channels + c) * inner;
                Encode(weights.Slice(start, inner), new ReadOnlySpan<float>(in scales[c]), codes.AsSpan(start, inner));
            }
        }
        return (codes, scales);
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

    /// <param name="scales">One for all values, or one for each.</param>
    private static void Encode(ReadOnlySpan<float> values, ReadOnlySpan<float> scales, Span<sbyte> codes)
    {
        ref var first = ref MemoryMarshal.GetReference(values);
        ref var target = ref MemoryMarshal.GetReference(codes);
        var (low, high) = (Vector512.Create(-127f), Vector512.Create(127f));
        var shared = Vector512.Create(scales[0]);
        var i = 0;
        for (; i <= values.Length - 16; i += 16)
        {
            var scale = scales.Length == 1 ? shared : Vector512.LoadUnsafe(ref MemoryMarshal.GetReference(scales), (nuint)i);
            var q = Vector512.Min(Vector512.Max(Vector512.Round(Vector512.LoadUnsafe(ref first, (nuint)i) / scale), low), high);
            var integers = Vector512.ConvertToInt32(q);
            var shorts = Vector256.Narrow(integers.GetLower(), integers.GetUpper());
            Vector128.Narrow(shorts.GetLower(), shorts.GetUpper()).StoreUnsafe(ref target, (nuint)i);
        }
        for (; i < values.Length; i++)
            codes[i] = (sbyte)Math.Clamp(MathF.Round(values[i] / scales[scales.Length == 1 ? 0 : i], MidpointRounding.ToEven), -127, 127);
    }
}
