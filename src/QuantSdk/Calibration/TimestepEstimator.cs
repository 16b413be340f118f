using System.Globalization;
using QuantSdk.Runtime;

namespace QuantSdk.Calibration;

/// <summary>
/// Ranges kept for each denoising step, known by its timestep, and one range made of those of the selected steps. First over the
/// calibration batches of a step, then over the steps:
/// <code>
/// min-mean     min over steps  of the mean over batches
/// min-max      min over steps  of the max over batches
/// mean-max     mean over steps of the max over batches
/// global-min   min over steps  of the min over batches
/// </code>
/// for the magnitude of either end and for the largest |x| alike. The order of the data does not matter.
/// </summary>
internal sealed class TimestepEstimator(TimestepSelection timesteps, string collect) : RangeEstimator
{
    public override bool NeedsHistogram => false;

    public override bool NeedsBatches => true;

    /// <exception cref="QuantSdkException">QSDK2010 where the source knows no timesteps, QSDK2011 where none of them is selected.</exception>
    public override void Check(CalibrationSource source, string model)
    {
        var seen = source.Timesteps;
        if (seen.Count == 0)
            throw new QuantSdkException("QSDK2010", $"The timestep calibrator keeps a range for each denoising step, and no timestep is known of the calibration data of '{model}'. Name the model's input with TimestepInput, or choose another Calibrator.", model);
        if (!seen.Any(timesteps.Contains))
            throw new QuantSdkException("QSDK2011", $"Timesteps='{timesteps}' selects none of the timesteps that '{model}' is calibrated at: {string.Join(", ", seen.Select(t => t.ToString(CultureInfo.InvariantCulture)))}. They are values of the timestep input.", model);
    }

    public override IReadOnlyList<StepRange> StepRanges(IReadOnlyList<BatchRange> batches) =>
        [.. Steps(batches).Select(s => (s.Timestep, s.Ends.Calibrated, s.Batches)).Select(s => new StepRange(s.Timestep, s.Calibrated.Range.Low, s.Calibrated.Range.High, s.Calibrated.Amax, s.Batches))];

    protected override CalibratedRange Estimate(Bf16Histogram histogram, IReadOnlyList<BatchRange> batches, ValueRange observed) =>
        RangeEnds.Reduce([.. Steps(batches).Where(s => timesteps.Contains(s.Timestep)).Select(s => s.Ends)], collect == "mean-max" ? Mean : Enumerable.Min).Calibrated;

    private IEnumerable<(float Timestep, RangeEnds Ends, int Batches)> Steps(IReadOnlyList<BatchRange> batches)
    {
        Func<IEnumerable<double>, double> one = collect switch { "min-mean" => Mean, "global-min" => Enumerable.Min, _ => Enumerable.Max };
        return batches.GroupBy(b => b.Key.Timestep!.Value).OrderBy(g => g.Key).Select(g => (g.Key, RangeEnds.Reduce([.. g.Select(b => RangeEnds.Of(b.Range))], one), g.Count()));
    }

    /// <summary>The sum depends on the order of its terms, so they are put in one.</summary>
    private static double Mean(IEnumerable<double> values) => values.Order().Average();
}
