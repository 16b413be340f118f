using QuantSdk.Runtime;

namespace QuantSdk.Caching.Schedules;

/// <summary>
/// Predicts what was recorded, as far as it goes, and asks the whole engine for the rest: a loop continues from any step at the cost of the steps after it,
/// whatever state its sampler keeps.
/// </summary>
internal sealed class Replay(ModelDenoiser full, IReadOnlyList<float[]> recorded) : IDenoiser
{
    public IDenoiserRun Begin(IReadOnlyList<long> sampleShape, IReadOnlyDictionary<string, ModelTensor> conditioning) => new Run(full.Begin(sampleShape, conditioning), recorded);

    private sealed class Run(ModelDenoiserRun run, IReadOnlyList<float[]> recorded) : IDenoiserRun
    {
        private int _evaluations;

        public Span<float> Sample => run.Sample;

        public ReadOnlySpan<float> Predict(int step, float timestep, CancellationToken cancellationToken) =>
            _evaluations < recorded.Count ? recorded[_evaluations++] : run.Predict(step, timestep, cancellationToken);

        public void Dispose() => run.Dispose();
    }
}
