using QuantSdk.Recipes;
using QuantSdk.Runtime;

namespace QuantSdk.Calibration;

/// <summary>From what was observed of a tensor to its range. Every estimator is a pure function of that.</summary>
internal abstract class RangeEstimator
{
    /// <summary>False where counts of values are not read, so that observers can skip counting.</summary>
    public virtual bool NeedsHistogram => true;

    /// <summary>True where the range of each calibration batch is read.</summary>
    public virtual bool NeedsBatches => false;

    public static IReadOnlyList<string> Names { get; } = ["max", "ema", "percentile", "entropy", "mse", "timestep"];

    /// <exception cref="QuantSdkException">QSDK1020 for a Calibrator or Timesteps that is none.</exception>
    public static RangeEstimator Create(Recipe recipe) => recipe.Calibrator switch
    {
        "max" => new MaxEstimator(),
        "ema" => new EmaEstimator(recipe.Momentum),
        "percentile" => new PercentileEstimator(recipe.Percentile),
        "entropy" => new EntropyEstimator(),
        "mse" => new MseEstimator(),
        "timestep" => new TimestepEstimator(TimestepSelection.Parse(recipe.Timesteps), recipe.Collect),
        _ => throw new QuantSdkException("QSDK1020", $"Calibrator '{recipe.Calibrator}' is not one of {string.Join(", ", Names)}."),
    };

    /// <summary>Refuses data that cannot give a range, before the model is run over it for minutes.</summary>
    /// <param name="model">The model's file, for messages.</param>
    public virtual void Check(CalibrationSource source, string model)
    {
    }

    /// <param name="histogram">All values; without counts unless <see cref="NeedsHistogram"/>.</param>
    /// <param name="batches">In the order in which they were seen; empty unless <see cref="NeedsBatches"/>.</param>
    public CalibratedRange Estimate(Bf16Histogram histogram, IReadOnlyList<BatchRange> batches)
    {
        var observed = ValueRange.Containing0(histogram.Min, histogram.Max);
        return observed.Amax <= 0 ? new CalibratedRange(observed, 0) : Estimate(histogram, batches, observed);
    }

    /// <summary>What was kept for each timestep, ascending; null where nothing is.</summary>
    public virtual IReadOnlyList<StepRange>? StepRanges(IReadOnlyList<BatchRange> batches) => null;

    protected abstract CalibratedRange Estimate(Bf16Histogram histogram, IReadOnlyList<BatchRange> batches, ValueRange observed);
}
