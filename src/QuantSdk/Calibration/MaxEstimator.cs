namespace QuantSdk.Calibration;

/// <summary>The observed minimum and maximum.</summary>
internal sealed class MaxEstimator : HistogramEstimator
{
    public override bool NeedsHistogram => false;

    protected override CalibratedRange Estimate(Bf16Histogram histogram, ValueRange observed) => new(observed, observed.Amax);
}
