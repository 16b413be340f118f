using System.Numerics.Tensors;
using QuantSdk.Runtime;

namespace QuantSdk.Caching.Schedules;

/// <summary>A diffusion loop over an engine and its live part, the same noise and prompts in every run, so that schedules can be compared.</summary>
/// <param name="full">The whole engine.</param>
/// <param name="live">Its live part.</param>
/// <param name="tensors">The cached tensors.</param>
/// <param name="rows">The number of samples.</param>
/// <param name="seed">Row i has the noise of seed + i.</param>
internal sealed class TrialLoop(
    ModelDenoiser full, ModelSession live, IReadOnlyList<TensorInfo> tensors, Sampler sampler, Conditioning conditioning, IReadOnlyList<long> sampleShape, int rows, long seed,
    int steps, float guidanceScale)
{
    /// <summary>How far errors carry varies little from row to row and from step to step.</summary>
    private const int PropagationRows = 4, PropagationStride = 4;

    /// <summary>Predictions that are kept to be replayed.</summary>
    private const long RecordingBudget = 256L << 20;

    private readonly IReadOnlyList<int> _steps = sampler.Schedule(steps).Steps;
    private readonly Recordings _recordings = new(RecordingBudget);
    private float[]? _uncached;

    public int Steps => _steps[^1] + 1;

    public int Rows => rows;

    /// <summary>Rows of the model's batch for each sample.</summary>
    public int Passes => guidanceScale == 1 ? 1 : 2;

    /// <summary>The samples of a run whose steps are all full.</summary>
    public ReadOnlySpan<float> Uncached => _uncached ??= Run(full, default);

    /// <summary>‖uncached samples‖.</summary>
    public double UncachedNorm => TensorPrimitives.Norm(Uncached);

    /// <summary>The loop over its first rows.</summary>
    public TrialLoop Take(int first)
    {
        if (first >= rows)
            return this;
        return new TrialLoop(
            full, live, tensors, sampler, new Conditioning(First(conditioning.Positive), conditioning.Negative is null ? null : First(conditioning.Negative)),
            sampleShape, first, seed, steps, guidanceScale);

        Dictionary<string, ModelTensor> First(IReadOnlyDictionary<string, ModelTensor> inputs) => inputs.ToDictionary(input => input.Key, input =>
            input.Value.Dimensions[0] <= first ? input.Value
            : ModelTensor.FromBytes(input.Value.ElementType, [first, .. input.Value.Dimensions[1..]], input.Value.Bytes[..(int)(input.Value.Bytes.Length / input.Value.Dimensions[0] * first)]));
    }

    /// <summary>The samples of a run.</summary>
    public float[] Run(TrialSchedule schedule, CancellationToken cancellation)
    {
        var (until, recorded) = _recordings.Longest(schedule, Steps);
        // Where the run goes on with features of recorded steps, these steps are computed again.
        IReadOnlyList<int> again = until < Steps ? schedule.Sources(until) is { Count: > 0 } sources ? sources : schedule.Extrapolation > 0 ? [schedule.Full.LastOrDefault(full => full < until)] : [] : [];
        var replay = new Replay(new CachedDenoiser(full, live, tensors, schedule.Plan(Steps)), [.. recorded.Take(_steps.TakeWhile(step => step < until).Count())], again);
        var samples = Run(replay, cancellation);
        _recordings.Add(schedule, [.. replay.Predictions]);
        return samples;
    }

    /// <summary>‖samples − uncached‖ / ‖uncached‖ over all rows.</summary>
    public double Error(TrialSchedule schedule, CancellationToken cancellation) => Math.Sqrt(RowErrors(schedule, cancellation).Sum());

    /// <summary>What each row adds to the square of the error.</summary>
    public double[] RowErrors(TrialSchedule schedule, CancellationToken cancellation)
    {
        var (samples, length) = (Run(schedule, cancellation), Uncached.Length / rows);
        var errors = new double[rows];
        for (var row = 0; row < rows; row++)
        {
            var own = row * length;
            errors[row] = Math.Pow(TensorPrimitives.Distance(samples.AsSpan(own, length), Uncached.Slice(own, length)) / UncachedNorm, 2);
        }
        return errors;
    }

    /// <summary>Agreement of each output with the float model's on the same inputs, along the engine's own run: what caching and quantisation do together.</summary>
    public IReadOnlyList<OutputQuality> Quality(ModelSession reference, TrialSchedule schedule, CancellationToken cancellation)
    {
        var judge = new JudgedDenoiser(new CachedDenoiser(full, live, tensors, schedule.Plan(Steps)), live, reference);
        Run(judge, cancellation);
        return judge.Quality;
    }

    /// <summary>Every n-th step full.</summary>
    public TrialSchedule Every(int interval) => new([.. CacheSchedule.Every(interval).FullSteps(Steps)]);

    /// <summary>What reuse costs along the uncached trajectory.</summary>
    /// <param name="window">The most steps that features are reused.</param>
    public DriftTable Drift(int window, CancellationToken cancellation)
    {
        var meter = new DriftMeter(full, live, tensors, Steps, window, guidanceScale);
        _uncached = Run(meter, cancellation);
        return new DriftTable(meter.Errors, Take(PropagationRows).Propagation(cancellation));
    }

    /// <summary>
    /// How far an error of each step carries: the change of the samples over that of one prediction, made on features one step old and followed by full steps.
    /// Negative where the two point in opposite directions. Measured at some steps, on the line between them at the others.
    /// </summary>
    private double[] Propagation(CancellationToken cancellation)
    {
        var meter = new DriftMeter(full, live, tensors, Steps, 1, guidanceScale);
        var unchanged = _uncached = Run(meter, cancellation);
        int[] measured = [.. Enumerable.Range(1, Steps - 1).Where(step => (Steps - 1 - step) % PropagationStride == 0 || step == 1)];
        var factors = measured.Select(step =>
        {
            var evaluation = _steps.TakeWhile(s => s < step).Count();
            var change = Run(new Replay(full, [.. meter.Predictions.Take(evaluation), meter.OneStepOld[step]!], []), cancellation);
            TensorPrimitives.Subtract(change, unchanged, change);
            var injected = meter.Errors[step - 1, step]!;
            return TensorPrimitives.Norm(injected) is var size and > 0 ? TensorPrimitives.Norm(change) / size * (TensorPrimitives.Dot(change, injected) < 0 ? -1.0 : 1.0) : 0;
        }).ToArray();
        var all = new double[Steps];
        for (int step = 1, k = 0; step < Steps; step++)
        {
            if (k + 1 < measured.Length && measured[k + 1] <= step)
                k++;
            var share = k + 1 < measured.Length ? (double)(step - measured[k]) / (measured[k + 1] - measured[k]) : 0;
            all[step] = factors[k] + (k + 1 < measured.Length ? share * (factors[k + 1] - factors[k]) : 0);
        }
        return all;
    }

    private float[] Run(IDenoiser denoiser, CancellationToken cancellation)
    {
        var noise = TorchNoise.Rows(Enumerable.Range(0, rows).Select(row => seed + row));
        var latents = noise.Normal([rows, .. sampleShape]);
        var options = new DiffusionOptions { Steps = steps, GuidanceScale = guidanceScale, Noise = noise };
        return new DiffusionPipeline(denoiser, sampler).Run(latents, conditioning, options, null, cancellation).AsSpan<float>().ToArray();
    }
}
