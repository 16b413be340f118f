using QuantSdk.Runtime;

namespace QuantSdk.Caching.Schedules;

/// <summary>
/// Predicts what was recorded, as far as it goes, and asks a denoiser for the rest: a loop continues from any step at the cost of the steps after it,
/// whatever state its sampler keeps.
/// </summary>
/// <param name="recorded">Predictions, one an evaluation.</param>
/// <param name="again">Steps among the recorded ones that the denoiser computes all the same, for the features that they leave in it.</param>
internal sealed class Replay(IDenoiser denoiser, IReadOnlyList<float[]> recorded, IReadOnlyList<int> again) : IDenoiser
{
    /// <summary>Every prediction of the last run.</summary>
    public List<float[]> Predictions { get; } = [];

    public IDenoiserRun Begin(IReadOnlyList<long> sampleShape, IReadOnlyDictionary<string, ModelTensor> conditioning)
    {
        Predictions.Clear();
        return new Run(denoiser.Begin(sampleShape, conditioning), this);
    }

    private IReadOnlyList<float[]> Recorded => recorded;

    private IReadOnlyList<int> Again => again;

    private sealed class Run(IDenoiserRun run, Replay owner) : IDenoiserRun
    {
        public Span<float> Sample => run.Sample;

        public ReadOnlySpan<float> Predict(int step, float timestep, CancellationToken cancellationToken)
        {
            var evaluation = owner.Predictions.Count;
            var prediction = evaluation < owner.Recorded.Count && !owner.Again.Contains(step) ? owner.Recorded[evaluation] : run.Predict(step, timestep, cancellationToken).ToArray();
            owner.Predictions.Add(prediction);
            return prediction;
        }

        public void Dispose() => run.Dispose();
    }
}
