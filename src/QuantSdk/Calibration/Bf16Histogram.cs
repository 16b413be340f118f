using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace QuantSdk.Calibration;

/// <summary>
/// Counts float values by their sign and the first bits of their bit pattern: 7 mantissa bits, 128 bins an octave, as bfloat16
/// truncates. Bins are relative, so no range has to be known before: one pass gives minimum, maximum and distribution.
/// Magnitudes below 2^−40 count as zero.
/// </summary>
internal sealed unsafe class Bf16Histogram
{
    /// <summary>Bins for one sign: 64 octaves from 2^−40 to 2^24, 128 bins each; larger magnitudes fall into the last one.</summary>
    public const int BinsPerSign = 64 * 128;

    private const uint FirstPattern = (127 - 40) << 7;
    private const uint NonFinite = 0x7F80_0000;

    /// <summary>Counts go to several tables in turn: equal neighbours (zeros, mostly) would otherwise wait for each other's store.</summary>
    private const int Ways = 4;

    [ThreadStatic]
    private static uint[]? t_scratch;

    private readonly long[] _counts = new long[2 * BinsPerSign];
    private readonly Lock _gate = new();

    public float Min { get; private set; } = float.PositiveInfinity;

    public float Max { get; private set; } = float.NegativeInfinity;

    public long Count { get; private set; }

    /// <summary>True once a NaN or an infinity has been seen.</summary>
    public bool HasNonFinite { get; private set; }

    /// <summary>Counts of non-negative values, ascending magnitude.</summary>
    public ReadOnlySpan<long> Positive => _counts.AsSpan(0, BinsPerSign);

    /// <summary>Counts of negative values, ascending magnitude.</summary>
    public ReadOnlySpan<long> Negative => _counts.AsSpan(BinsPerSign);

    /// <summary>Lower edge of a bin's magnitude; the upper edge is the next bin's lower one. Bin 0 is zero.</summary>
    public static float Edge(int bin) => bin == 0 ? 0 : BitConverter.UInt32BitsToSingle((FirstPattern + (uint)bin) << 16);

    /// <summary>Adds values and returns their range. Safe to call from several threads with parts of a tensor.</summary>
    /// <param name="weight">How often each counts.</param>
    public (float Min, float Max) Add(ReadOnlySpan<float> values, int weight = 1)
    {
        var scratch = t_scratch ??= GC.AllocateArray<uint>(Ways * 2 * BinsPerSign, pinned: true);
        var (min, max, nonFinite) = Count4(values, (uint*)Unsafe.AsPointer(ref MemoryMarshal.GetArrayDataReference(scratch)));
        lock (_gate)
        {
            Merge(values.Length, min, max, nonFinite);
            // A NaN may sit in any bin, so then all of them are drained.
            if (nonFinite)
                (min, max) = (float.NegativeInfinity, float.PositiveInfinity);
            Drain(scratch, Math.Min(min, 0), Math.Max(max, 0), weight);
        }
        return (min, max);
    }

    /// <summary>Adds values to minimum and maximum only, and returns theirs.</summary>
    public (float Min, float Max) AddRange(ReadOnlySpan<float> values)
    {
        var (min, max, nonFinite) = Range(values);
        lock (_gate)
            Merge(values.Length, min, max, nonFinite);
        return (min, max);
    }

    private void Merge(int count, float min, float max, bool nonFinite)
    {
        Min = Math.Min(Min, min);
        Max = Math.Max(Max, max);
        Count += count;
        HasNonFinite |= nonFinite;
    }

    /// <summary>Moves the thread's counts into the totals and leaves zeros behind. Only bins up to the extremes can have been hit.</summary>
    private void Drain(uint[] scratch, float min, float max, int weight)
    {
        Move(0, Bin(max) + 1);
        Move(BinsPerSign, Bin(-min) + 1);

        void Move(int start, int length)
        {
            var totals = _counts.AsSpan(start, length);
            for (var way = 0; way < Ways; way++)
            {
                var counts = scratch.AsSpan(way * 2 * BinsPerSign + start, length);
                for (var i = 0; i < totals.Length; i++)
                    totals[i] += (long)counts[i] * weight;
                counts.Clear();
            }
        }
    }

    private static int Bin(float magnitude)
    {
        var pattern = BitConverter.SingleToUInt32Bits(MathF.Abs(magnitude)) >> 16;
        return (int)Math.Min(Math.Max(pattern, FirstPattern) - FirstPattern, BinsPerSign - 1);
    }

    private static (float Min, float Max, bool NonFinite) Count4(ReadOnlySpan<float> values, uint* counts)
    {
        var min = Vector512.Create(float.PositiveInfinity);
        var max = Vector512.Create(float.NegativeInfinity);
        var worst = Vector512<uint>.Zero;
        var buffer = stackalloc uint[16];
        ref var first = ref MemoryMarshal.GetReference(values);
        var i = 0;
        for (; i <= values.Length - 16; i += 16)
        {
            var x = Vector512.LoadUnsafe(ref first, (nuint)i);
            min = Vector512.MinNative(min, x);
            max = Vector512.MaxNative(max, x);
            var bits = x.AsUInt32();
            var magnitude = bits & Vector512.Create(0x7FFF_FFFFu);
            worst = Vector512.Max(worst, magnitude);
            var bin = Vector512.Min(Vector512.Max(magnitude >>> 16, Vector512.Create(FirstPattern)) - Vector512.Create(FirstPattern), Vector512.Create((uint)BinsPerSign - 1));
            // −0 is a zero like any other: only magnitudes that have a bin keep their sign.
            bin |= (bits >>> 31) * BinsPerSign & ~Vector512.Equals(bin, Vector512<uint>.Zero);
            bin.Store(buffer);
            counts[buffer[0]]++;
            counts[buffer[1] + 2 * BinsPerSign]++;
            counts[buffer[2] + 4 * BinsPerSign]++;
            counts[buffer[3] + 6 * BinsPerSign]++;
            counts[buffer[4]]++;
            counts[buffer[5] + 2 * BinsPerSign]++;
            counts[buffer[6] + 4 * BinsPerSign]++;
            counts[buffer[7] + 6 * BinsPerSign]++;
            counts[buffer[8]]++;
            counts[buffer[9] + 2 * BinsPerSign]++;
            counts[buffer[10] + 4 * BinsPerSign]++;
            counts[buffer[11] + 6 * BinsPerSign]++;
            counts[buffer[12]]++;
            counts[buffer[13] + 2 * BinsPerSign]++;
            counts[buffer[14] + 4 * BinsPerSign]++;
            counts[buffer[15] + 6 * BinsPerSign]++;
        }
        var (low, high, bad) = Fold(min, max, worst);
        for (; i < values.Length; i++)
        {
            var x = values[i];
            (low, high) = (Math.Min(low, x), Math.Max(high, x));
            bad |= !float.IsFinite(x);
            var bin = Bin(x);
            counts[bin + (x < 0 && bin > 0 ? BinsPerSign : 0)]++;
        }
        return (low, high, bad);
    }

    private static (float Min, float Max, bool NonFinite) Range(ReadOnlySpan<float> values)
    {
        var min = Vector512.Create(float.PositiveInfinity);
        var max = Vector512.Create(float.NegativeInfinity);
        var worst = Vector512<uint>.Zero;
        ref var first = ref MemoryMarshal.GetReference(values);
        var i = 0;
        for (; i <= values.Length - 16; i += 16)
        {
            var x = Vector512.LoadUnsafe(ref first, (nuint)i);
            min = Vector512.MinNative(min, x);
            max = Vector512.MaxNative(max, x);
            worst = Vector512.Max(worst, x.AsUInt32() & Vector512.Create(0x7FFF_FFFFu));
        }
        var (low, high, bad) = Fold(min, max, worst);
        for (; i < values.Length; i++)
        {
            (low, high) = (Math.Min(low, values[i]), Math.Max(high, values[i]));
            bad |= !float.IsFinite(values[i]);
        }
        return (low, high, bad);
    }

    private static (float Min, float Max, bool NonFinite) Fold(Vector512<float> min, Vector512<float> max, Vector512<uint> worst)
    {
        var (low, high, bits) = (float.PositiveInfinity, float.NegativeInfinity, 0u);
        for (var lane = 0; lane < 16; lane++)
            (low, high, bits) = (Math.Min(low, min[lane]), Math.Max(high, max[lane]), Math.Max(bits, worst[lane]));
        return (low, high, bits >= NonFinite);
    }
}
