using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace QuantSdk.Calibration;

/// <summary>
/// The range with the least squared error of an 8-bit grid: Σ n(x)·w·(x − Q(x))², where Q rounds to the grid inside the range (w = 1) and
/// clips outside (w = <see cref="ClippingWeight"/>). The asymmetric range [low, high] is searched one end at a time; amax is the same
/// search with both ends tied.
/// </summary>
internal sealed class MseEstimator : HistogramEstimator
{
    /// <summary>Fractions at which an end is tried: 3 % steps down to a quarter, then half a percent around the best.</summary>
    private static readonly float[] Coarse = [.. Enumerable.Range(0, 48).Select(i => MathF.Pow(0.97f, i))];

    private static readonly float[] Fine = [1, .. Enumerable.Range(1, 5).SelectMany(i => (float[])[1 + i * 0.005f, 1 - i * 0.005f])];

    private const int Steps = 255;

    /// <summary>
    /// Rounding errors are independent and average out in the next product; clipping errors share their sign and their channel and
    /// add up, so that plain squared error clips too much for the network's output. Anything from 2 to 4 serves.
    /// </summary>
    private const float ClippingWeight = 4;

    /// <summary>Of fewer values the tail is hardly known: what lies beyond an end weighs the more.</summary>
    private const float WellKnown = 1 << 16;

    /// <summary>How much more a clipped value's squared error counts than a rounded one's.</summary>
    internal static float Weight(long count) => ClippingWeight * (1 + (WellKnown / Math.Max(1, count)));

    protected override CalibratedRange Estimate(Bf16Histogram histogram, ValueRange observed)
    {
        var values = Distribution.From(histogram, Weight(histogram.Count));
        var range = observed;
        foreach (var fractions in (float[][])[Coarse, Coarse, Fine, Fine])
        {
            // Coarse fractions are of the observed end, fine ones of the end found so far.
            var (low, high) = fractions == Coarse ? (observed.Low, observed.High) : (range.Low, range.High);
            if (high > 0)
                range = range with { High = Math.Min(observed.High, high * Best(fractions, f => values.Error(range.Low, high * f))) };
            if (low < 0)
                range = range with { Low = Math.Max(observed.Low, low * Best(fractions, f => values.Error(low * f, range.High))) };
        }
        var amax = observed.Amax * Best(Coarse, f => values.SymmetricError(observed.Amax * f));
        amax = Math.Min(observed.Amax, amax * Best(Fine, f => values.SymmetricError(amax * f)));
        return new CalibratedRange(range, amax);
    }

    private static float Best(float[] fractions, Func<float, double> error)
    {
        var (best, least) = (1f, double.PositiveInfinity);
        foreach (var fraction in fractions)
        {
            var here = error(fraction);
            if (here < least)
                (best, least) = (fraction, here);
        }
        return best;
    }

    /// <summary>The occupied bins of a histogram: signed centre and count.</summary>
    private sealed class Distribution(float[] centres, float[] counts, float clippingWeight)
    {
        public static Distribution From(Bf16Histogram histogram, float clippingWeight)
        {
            var centres = new List<float>();
            var counts = new List<float>();
            for (var sign = 0; sign < 2; sign++)
            {
                var bins = sign == 0 ? histogram.Positive : histogram.Negative;
                for (var bin = 1; bin < bins.Length; bin++)
                {
                    if (bins[bin] == 0)
                        continue;
                    var centre = (Bf16Histogram.Edge(bin) + Bf16Histogram.Edge(bin + 1)) / 2;
                    centres.Add(sign == 0 ? centre : -centre);
                    counts.Add(bins[bin]);
                }
            }
            while (centres.Count % 16 != 0)
            {
                centres.Add(0);
                counts.Add(0);
            }
            return new Distribution([.. centres], [.. counts], clippingWeight);
        }

        public double Error(float low, float high)
        {
            var scale = (high - low) / Steps;
            // The zero point is an integer, which shifts the real range by up to half a step.
            var zeroPoint = MathF.Round(-low / scale);
            return Error(-zeroPoint * scale, (Steps - zeroPoint) * scale, scale);
        }

        public double SymmetricError(float amax) => Error(-amax, amax, amax / 127);

        private double Error(float low, float high, float scale)
        {
            var inverse = Vector512.Create(1 / scale);
            var step = Vector512.Create(scale);
            // Bins of larger values are wider than the grid is fine: there the expected error of a uniform density, s²/12, is exact,
            // and bin centres would only alias with the grid.
            var fine = Vector512.Create(16 * scale);
            var uniform = Vector512.Create(scale * scale / 12);
            var (lows, highs) = (Vector512.Create(low), Vector512.Create(high));
            var sum = Vector512<float>.Zero;
            for (var i = 0; i < centres.Length; i += 16)
            {
                var x = Vector512.LoadUnsafe(ref MemoryMarshal.GetArrayDataReference(centres), (nuint)i);
                var n = Vector512.LoadUnsafe(ref MemoryMarshal.GetArrayDataReference(counts), (nuint)i);
                var clipped = Vector512.Min(Vector512.Max(x, lows), highs);
                var rounded = Vector512.Round(clipped * inverse) * step;
                var inside = Vector512.Equals(clipped, x);
                var error = (x - Vector512.ConditionalSelect(inside, rounded, clipped));
                error *= error * Vector512.ConditionalSelect(inside, Vector512<float>.One, Vector512.Create(clippingWeight));
                error = Vector512.ConditionalSelect(inside & Vector512.GreaterThan(Vector512.Abs(x), fine), uniform, error);
                sum += error * n;
            }
            return Vector512.Sum(sum);
        }
    }
}
