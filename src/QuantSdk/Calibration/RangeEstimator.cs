using QuantSdk.Runtime;

namespace QuantSdk.Calibration;

/// <summary>From a distribution to a range. Every estimator is a pure function of the histogram.</summary>
internal abstract class RangeEstimator
{
    /// <summary>False where minimum and maximum are all that is needed, so that observers can skip counting.</summary>
    public virtual bool NeedsHistogram => true;

    public static IReadOnlyList<string> Names { get; } = ["max", "percentile", "entropy", "mse"];

    /// <param name="percentile">In (50, 100]; read by `percentile` alone.</param>
    public static RangeEstimator Create(string name, double percentile) => name switch
    {
        "max" => new MaxEstimator(),
        "percentile" => new PercentileEstimator(percentile),
        "entropy" => new EntropyEstimator(),
        "mse" => new MseEstimator(),
        _ => throw new QuantSdkException("QSDK1020", $"Calibrator '{name}' is not one of {string.Join(", ", Names)}."),
    };

    public CalibratedRange Estimate(Bf16Histogram histogram)
    {
        var observed = ValueRange.Containing0(histogram.Min, histogram.Max);
        return observed.Amax <= 0 ? new CalibratedRange(observed, 0) : Estimate(histogram, observed);
    }

    protected abstract CalibratedRange Estimate(Bf16Histogram histogram, ValueRange observed);
}
