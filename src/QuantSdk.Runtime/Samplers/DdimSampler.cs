namespace QuantSdk.Runtime;

/// <summary>diffusers' <c>DDIMScheduler</c> (Song et al. 2020, equation 12): first order; deterministic with η = 0.</summary>
internal sealed class DdimSampler : Sampler
{
    public const string ClassName = "DDIMScheduler";

    private const Register Clean = Register.Kept;

    private readonly NoiseTable _table;
    private readonly string _spacing;
    private readonly int _stepsOffset;
    private readonly Prediction _prediction;
    private readonly SampleBounds _bounds;

    public DdimSampler(SamplerConfig config)
        : base(config)
    {
        _table = new(config, TrainTimesteps, alphaToOne: true);
        _spacing = TimestepSpacing.Read(config, TimestepSpacing.Leading);
        _stepsOffset = config.Int("steps_offset", 0, least: 0);
        _prediction = Prediction.Read(config);
        _bounds = SampleBounds.Read(config, clipByDefault: true);
    }

    private protected override bool TakesEta => true;

    private protected override SamplerSchedule CreateSchedule(int steps, ScheduleOptions options)
    {
        var timesteps = TimestepSpacing.Whole(_spacing, TrainTimesteps, steps, _stepsOffset);
        CheckTimesteps(timesteps, steps);
        CheckSignal(_table, timesteps, _prediction);
        return new(
            [.. Enumerable.Range(options.StartStep, steps - options.StartStep).Select(step => new Evaluation(
                // The previous timestep is ⌊N/n⌋ back under every spacing: diffusers does it so, and the models are tuned with it.
                timesteps[step], step, Step(timesteps[step], timesteps[step] - TrainTimesteps / steps, (float)(options.Eta ?? 0))))],
            [], initNoiseSigma: 1, _table.Shares(timesteps[options.StartStep]), _bounds);
    }

    /// <summary>x ← √ᾱ'·x0 + √(1−ᾱ'−s²)·ε + s·z, where s = η·√((1−ᾱ')/(1−ᾱ)·(1−ᾱ/ᾱ')) and ᾱ' belongs to the next timestep.</summary>
    private Assignment[] Step(int timestep, int nextTimestep, float eta)
    {
        var (signal, noise) = _table.Shares(timestep);
        var (alpha, next) = (_table.Alpha(timestep), _table.Alpha(nextTimestep));
        var drawn = eta == 0 ? 0 : eta * TorchMath.Sqrt((1 - next) / (1 - alpha) * (1 - alpha / next));
        double nextSignal = TorchMath.Sqrt(next), nextNoise = TorchMath.Sqrt(1 - next - drawn * drawn);
        var clean = _prediction.ToClean(signal, noise);
        var direction = _prediction.ToNoise(signal, noise);
        Term[] fresh = drawn == 0 ? [] : [(Register.Noise, drawn)];
        if (!_bounds.Any)
            return
            [
                new(Register.Sample,
                [
                    (Register.Sample, nextSignal * clean.Sample + nextNoise * direction.Sample),
                    (Register.Output, nextSignal * clean.Output + nextNoise * direction.Output),
                    .. fresh,
                ]),
            ];
        // ε comes from the prediction itself, not from the bounded x0 (use_clipped_model_output = false).
        return
        [
            new(Clean, [(Register.Sample, clean.Sample), (Register.Output, clean.Output)], Bounded: true),
            new(Register.Sample, [(Register.Sample, nextNoise * direction.Sample), (Register.Output, nextNoise * direction.Output), (Clean, nextSignal), .. fresh]),
        ];
    }
}
