namespace QuantSdk.Calibration;

/// <summary>amax is the given percentile of |x|; the range is what was observed, clipped to ±amax.</summary>
internal sealed class PercentileEstimator(double percentile) : HistogramEstimator
{
    protected override CalibratedRange Estimate(Bf16Histogram histogram, ValueRange observed)
    {
        var amax = Math.Min(Amax(histogram), observed.Amax);
        return new CalibratedRange(observed.Clip(amax), amax);
    }

    private float Amax(Bf16Histogram histogram)
    {
        var positive = histogram.Positive;
        var negative = histogram.Negative;
        var wanted = histogram.Count * percentile / 100;
        double below = 0;
        for (var bin = 0; bin < Bf16Histogram.BinsPerSign; bin++)
        {
            var here = positive[bin] + negative[bin];
            if (here > 0 && below + here >= wanted)
            {
                float low = Bf16Histogram.Edge(bin), high = Bf16Histogram.Edge(bin + 1);
                return (float)(low + (high - low) * (wanted - below) / here);
            }
            below += here;
        }
        return float.PositiveInfinity;
    }
}
