namespace QuantSdk.Runtime;

/// <summary>diffusers' <c>DDPMScheduler</c>: ancestral sampling (Ho et al. 2020, equations 6 and 7) over any subset of the timesteps.</summary>
internal sealed class DdpmSampler : Sampler
{
    public const string ClassName = "DDPMScheduler";

    private const Register Clean = Register.Kept;
    private const string FixedSmall = "fixed_small", FixedSmallLog = "fixed_small_log", FixedLarge = "fixed_large";

    private readonly NoiseTable _table;
    private readonly string _spacing, _variance;
    private readonly int _stepsOffset;
    private readonly Prediction _prediction;
    private readonly SampleBounds _bounds;

    public DdpmSampler(SamplerConfig config)
        : base(config)
    {
        _table = new(config, TrainTimesteps, alphaToOne: null);
        _spacing = TimestepSpacing.Read(config, TimestepSpacing.Leading);
        _stepsOffset = config.Int("steps_offset", 0, least: 0);
        _prediction = Prediction.Read(config);
        _bounds = SampleBounds.Read(config, clipByDefault: true);
        _variance = config.Choice("variance_type", FixedSmall, FixedSmall, FixedSmallLog, FixedLarge, "fixed_large_log", "learned", "learned_range");
        if (_variance is not (FixedSmall or FixedSmallLog or FixedLarge))
            throw config.Unsupported("variance_type", $"Use {FixedSmall}, {FixedSmallLog} or {FixedLarge}.");
    }

    private protected override SamplerSchedule CreateSchedule(int steps, ScheduleOptions options)
    {
        var timesteps = TimestepSpacing.Whole(_spacing, TrainTimesteps, steps, _stepsOffset);
        CheckTimesteps(timesteps, steps);
        CheckSignal(_table, timesteps, _prediction);
        return new(
            [.. Enumerable.Range(options.StartStep, steps - options.StartStep).Select(step => new Evaluation(
                timesteps[step], step, Step(timesteps[step], step + 1 < steps ? timesteps[step + 1] : -1)))],
            [], initNoiseSigma: 1, _table.Shares(timesteps[options.StartStep]), _bounds);
    }

    /// <summary>x ← √ᾱ'·β/(1−ᾱ)·x0 + √α·(1−ᾱ')/(1−ᾱ)·x + √β̃·z, where α = ᾱ/ᾱ', β = 1 − α and β̃ is the variance.</summary>
    private Assignment[] Step(int timestep, int nextTimestep)
    {
        var (signal, noise) = _table.Shares(timestep);
        var (bar, next) = (_table.Alpha(timestep), _table.Alpha(nextTimestep));
        var alpha = bar / next;
        var beta = 1 - alpha;
        var clean = _prediction.ToClean(signal, noise);
        var ofClean = TorchMath.Sqrt(next) * beta / (1 - bar);
        var ofSample = TorchMath.Sqrt(alpha) * (1 - next) / (1 - bar);
        Term[] fresh = timestep > 0 ? [(Register.Noise, Deviation(MathF.Max((1 - next) / (1 - bar) * beta, 1e-20f), beta))] : [];
        return
        [
            new(Clean, [(Register.Sample, clean.Sample), (Register.Output, clean.Output)], Bounded: true),
            new(Register.Sample, [(Register.Sample, ofSample), (Clean, ofClean), .. fresh]),
        ];
    }

    private float Deviation(float small, float large) => _variance switch
    {
        FixedSmallLog => TorchMath.Exp(0.5f * TorchMath.Log(small)),
        FixedLarge => TorchMath.Sqrt(large),
        _ => TorchMath.Sqrt(small),
    };
}
