namespace QuantSdk.Runtime;

/// <summary>diffusers' <c>LCMScheduler</c> (Luo et al. 2023, algorithm 3): each step guesses the image and adds noise again.</summary>
internal sealed class LcmSampler : Sampler
{
    public const string ClassName = "LCMScheduler";

    private const Register Clean = Register.Kept;
    private const float DataVariance = 0.25f;

    private readonly NoiseTable _table;
    private readonly int _originalSteps;
    private readonly float _timestepScaling;
    private readonly Prediction _prediction;
    private readonly SampleBounds _bounds;

    public LcmSampler(SamplerConfig config)
        : base(config)
    {
        _table = new(config, TrainTimesteps, alphaToOne: true, 0.00085, 0.012, "scaled_linear");
        _originalSteps = DistilledTimesteps.Read(config, TrainTimesteps);
        _timestepScaling = (float)config.Double("timestep_scaling", 10);
        _prediction = Prediction.Read(config);
        _bounds = SampleBounds.Read(config, clipByDefault: false);
    }

    private protected override SamplerSchedule CreateSchedule(int steps, ScheduleOptions options)
    {
        if (steps > _originalSteps)
            throw Impossible($"{steps} steps were asked for; original_inference_steps allows {_originalSteps}.");
        var timesteps = DistilledTimesteps.Of(TrainTimesteps, _originalSteps, steps);
        CheckSignal(_table, timesteps, _prediction);
        return new(
            [.. Enumerable.Range(options.StartStep, steps - options.StartStep).Select(step => new Evaluation(
                timesteps[step], step, Step(timesteps[step], step + 1 < steps ? timesteps[step + 1] : null)))],
            [], initNoiseSigma: 1, _table.Shares(timesteps[options.StartStep]), _bounds);
    }

    /// <summary>d = c_out·x0 + c_skip·x with the boundary condition d = x at t = 0; x ← √ᾱ'·d + √(1−ᾱ')·z, at the end d itself.</summary>
    private Assignment[] Step(int timestep, int? nextTimestep)
    {
        var (signal, noise) = _table.Shares(timestep);
        var clean = _prediction.ToClean(signal, noise);
        var scaled = timestep * _timestepScaling;
        var skip = DataVariance / (scaled * scaled + DataVariance);
        var keep = scaled / TorchMath.Sqrt(scaled * scaled + DataVariance);
        var (nextSignal, nextNoise) = nextTimestep is { } next ? _table.Shares(next) : (1, 0);
        Term[] fresh = nextTimestep is null ? [] : [(Register.Noise, nextNoise)];
        return
        [
            new(Clean, [(Register.Sample, clean.Sample), (Register.Output, clean.Output)], Bounded: true),
            new(Register.Sample, [(Register.Sample, (double)nextSignal * skip), (Clean, (double)nextSignal * keep), .. fresh]),
        ];
    }
}
