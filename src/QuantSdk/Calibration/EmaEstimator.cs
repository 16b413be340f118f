namespace QuantSdk.Calibration;

/// <summary>
/// An exponential moving average over calibration batches: end ← m·end + (1 − m)·end of the batch, for both ends of the range and for
/// amax; the first batch sets them. The result depends on the order of the batches by definition: the last ones count most.
/// </summary>
/// <param name="momentum">m, in [0, 1).</param>
internal sealed class EmaEstimator(double momentum) : RangeEstimator
{
    public override bool NeedsHistogram => false;

    public override bool NeedsBatches => true;

    protected override CalibratedRange Estimate(Bf16Histogram histogram, IReadOnlyList<BatchRange> batches, ValueRange observed)
    {
        var average = RangeEnds.Of(batches[0].Range);
        foreach (var batch in batches.Skip(1))
        {
            var ends = RangeEnds.Of(batch.Range);
            average = new RangeEnds(Next(average.Low, ends.Low), Next(average.High, ends.High), Next(average.Amax, ends.Amax));
        }
        return average.Calibrated;
    }

    private double Next(double average, double end) => momentum * average + (1 - momentum) * end;
}
