using QuantSdk.Caching.Schedules;
using QuantSdk.Runtime;

namespace QuantSdk.Calibration;

/// <summary>
/// A diffusion loop: the session denoises through the sampler with guidance, and every step is seen. Row i starts from torch's CPU
/// normal numbers of seed + i.
/// </summary>
/// <param name="rows">Samples made; the batch is twice that with guidance.</param>
internal sealed class SamplingSource(Sampler sampler, DiffusionRoles roles, Conditioning conditioning, IReadOnlyList<long> sampleShape, int rows, int steps, float guidanceScale, long seed) : CalibrationSource
{
    public override IReadOnlyList<float> Timesteps => [.. sampler.Schedule(steps).Timesteps.Select(t => (float)(t * (double)roles.TimestepScale)).Distinct().Order()];

    public override IReadOnlyDictionary<string, long[]> RowShapes(IReadOnlyList<Port> ports) => ports.ToDictionary(p => p.Name, RowShape, StringComparer.Ordinal);

    public override void Run(ModelSession session, BatchPolicy batch, RowsSeen seen, Action<int, int>? progress, CancellationToken cancellationToken)
    {
        var denoiser = new ObservedDenoiser(session, roles, batch, seen);
        var pipeline = new DiffusionPipeline(denoiser, sampler);
        var noise = TorchNoise.Rows(Enumerable.Range(0, rows).Select(row => seed + row));
        var reporter = progress is null ? null : new Steps(progress);
        pipeline.Run(
            noise.Normal([rows, .. sampleShape]), conditioning,
            new DiffusionOptions { Steps = steps, GuidanceScale = guidanceScale, Noise = noise }, reporter, cancellationToken);
    }

    /// <summary>The same loop over a cached engine.</summary>
    public TrialLoop Loop(QuantizedModel engine) => new(engine.Denoiser!, engine.Live!, engine.Cached, sampler, conditioning, sampleShape, rows, seed, steps, guidanceScale);

    private long[] RowShape(Port port) =>
        port.Name == roles.Sample ? [1, .. sampleShape]
        : conditioning.Positive.TryGetValue(port.Name, out var given) ? [.. given.Shape.Select((d, i) => i == 0 ? 1 : d)]
        : [.. port.Shape.Select(d => Math.Max(1, d))];

    /// <summary>Reports at once, unlike Progress&lt;T&gt;, which posts to a pool thread.</summary>
    private sealed class Steps(Action<int, int> report) : IProgress<DiffusionProgress>
    {
        public void Report(DiffusionProgress value) => report(value.Step, value.Steps);
    }
}
