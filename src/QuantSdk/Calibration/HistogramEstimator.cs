namespace QuantSdk.Calibration;

/// <summary>An estimator that reads the distribution of all values, whatever their order and batch.</summary>
internal abstract class HistogramEstimator : RangeEstimator
{
    protected sealed override CalibratedRange Estimate(Bf16Histogram histogram, IReadOnlyList<BatchRange> batches, ValueRange observed) => Estimate(histogram, observed);

    protected abstract CalibratedRange Estimate(Bf16Histogram histogram, ValueRange observed);
}
