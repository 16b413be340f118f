namespace QuantSdk.Calibration;

/// <summary>
/// The amax whose quantised distribution loses least information: minimum of KL(P‖Q) over the 2048-bin histogram of |x|, where P is
/// the histogram clipped at the candidate (the tail added to its last bin) and Q the same quantised to 128 levels
/// (S. Migacz, "8-bit inference with TensorRT", GTC 2017).
/// </summary>
internal sealed class EntropyEstimator : HistogramEstimator
{
    public const int Bins = 2048;
    private const int Levels = 128;

    /// <summary>Counts that Q holds at least where P has mass, so that one value in an empty region does not make KL infinite.</summary>
    private const double Smoothing = 1e-4;

    protected override CalibratedRange Estimate(Bf16Histogram histogram, ValueRange observed)
    {
        var bins = Linear(histogram, observed.Amax);
        var best = Bins;
        var least = double.PositiveInfinity;
        for (var candidate = Levels; candidate <= Bins; candidate++)
        {
            var divergence = Divergence(bins, candidate);
            // ≤: of equal candidates the widest clips least.
            if (divergence <= least)
                (least, best) = (divergence, candidate);
        }
        var amax = observed.Amax * best / Bins;
        return new CalibratedRange(observed.Clip(amax), amax);
    }

    /// <summary>The histogram of |x| in equal bins over [0, amax]; a bfloat16 bin wider than one of them is spread evenly.</summary>
    internal static double[] Linear(Bf16Histogram histogram, float amax)
    {
        var bins = new double[Bins];
        var perUnit = Bins / (double)amax;
        for (var bin = 0; bin < Bf16Histogram.BinsPerSign; bin++)
        {
            double count = histogram.Positive[bin] + histogram.Negative[bin];
            if (count == 0)
                continue;
            // Exact zeros carry no information about the range: counting them would only favour wide ranges.
            if (bin == 0)
                continue;
            var low = Bf16Histogram.Edge(bin) * perUnit;
            var high = Math.Min(Bf16Histogram.Edge(bin + 1) * perUnit, Bins);
            if (high <= low)
            {
                bins[Bins - 1] += count;
                continue;
            }
            for (var i = (int)low; i < Bins && i < high; i++)
                bins[i] += count * (Math.Min(i + 1, high) - Math.Max(i, low)) / (high - low);
        }
        return bins;
    }

    /// <summary>KL(P‖Q) for the first <paramref name="candidate"/> bins.</summary>
    internal static double Divergence(ReadOnlySpan<double> bins, int candidate)
    {
        double tail = 0, total = 0;
        foreach (var count in bins[candidate..])
            tail += count;
        foreach (var count in bins)
            total += count;
        if (total == 0)
            return 0;
        double kept = total - tail, divergence = 0;
        if (kept <= 0)
            return double.PositiveInfinity;
        for (var level = 0; level < Levels; level++)
        {
            int start = (int)((long)candidate * level / Levels), end = (int)((long)candidate * (level + 1) / Levels);
            double sum = 0;
            var occupied = 0;
            for (var i = start; i < end; i++)
            {
                sum += bins[i];
                occupied += bins[i] > 0 ? 1 : 0;
            }
            // Q spreads a level's mass over the bins of it that are occupied in P.
            var q = occupied == 0 ? 0 : sum / occupied / kept;
            var floor = Smoothing / kept;
            for (var i = start; i < end; i++)
            {
                var p = (bins[i] + (i == candidate - 1 ? tail : 0)) / total;
                if (p <= 0)
                    continue;
                divergence += p * Math.Log(p / Math.Max(q, floor));
            }
        }
        return divergence;
    }
}
