using QuantSdk.Quality;
using QuantSdk.Runtime;

namespace QuantSdk.Caching.Schedules;

/// <summary>A cached denoiser whose every prediction is compared with that of the float model on the same inputs.</summary>
internal sealed class JudgedDenoiser(CachedDenoiser denoiser, ModelSession live, ModelSession reference) : IDenoiser
{
    private readonly ErrorMeter[] _meters = [.. Compared(live, reference).Select(output => new ErrorMeter(output))];

    /// <summary>Over all runs.</summary>
    public IReadOnlyList<OutputQuality> Quality => [.. _meters.Select(meter => meter.Result())];

    public IDenoiserRun Begin(IReadOnlyList<long> sampleShape, IReadOnlyDictionary<string, ModelTensor> conditioning)
    {
        var run = denoiser.Begin(sampleShape, conditioning);
        return new Run(this, run, reference.Bind(reference.Inputs.ToDictionary(i => i.Name, i => run.Binding.InputShape(i.Name).ToArray(), StringComparer.Ordinal)));
    }

    private static string[] Compared(ModelSession live, ModelSession reference) =>
        [.. reference.Outputs.Where(o => (o.Type.Type == typeof(float) || o.Type.Type == typeof(Half)) && live.Outputs.Any(l => l.Name == o.Name)).Select(o => o.Name)];

    private sealed class Run(JudgedDenoiser owner, CachedDenoiserRun run, ModelBinding exact) : IDenoiserRun
    {
        public Span<float> Sample => run.Sample;

        public ReadOnlySpan<float> Predict(int step, float timestep, CancellationToken cancellationToken)
        {
            var prediction = run.Predict(step, timestep, cancellationToken);
            foreach (var input in owner.Reference.Inputs)
                run.Binding.InputBytes(input.Name).CopyTo(exact.InputBytes(input.Name));
            exact.Run();
            var cached = run.WasFull ? run.Binding : run.Binding.Borrower(owner.Live);
            var outputs = Compared(owner.Live, owner.Reference);
            for (var i = 0; i < outputs.Length; i++)
                owner._meters[i].Add(exact.OutputFloats(outputs[i]), cached.OutputFloats(outputs[i]));
            return prediction;
        }

        public void Dispose()
        {
            exact.Dispose();
            run.Dispose();
        }
    }

    private ModelSession Live => live;

    private ModelSession Reference => reference;
}
