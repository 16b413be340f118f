namespace QuantSdk.Runtime;

/// <summary>diffusers' <c>TCDScheduler</c> (Zheng et al. 2024, algorithm 2): jumps to s = (1−γ)·t' and adds noise up to t'; γ is <see cref="ScheduleOptions.Eta"/>.</summary>
internal sealed class TcdSampler : Sampler
{
    public const string ClassName = "TCDScheduler";

    private const double DefaultEta = 0.3;

    private readonly NoiseTable _table;
    private readonly int _originalSteps;
    private readonly Prediction _prediction;

    public TcdSampler(SamplerConfig config)
        : base(config)
    {
        _table = new(config, TrainTimesteps, alphaToOne: true, 0.00085, 0.012, "scaled_linear");
        _originalSteps = DistilledTimesteps.Read(config, TrainTimesteps);
        _prediction = Prediction.Read(config);
    }

    private protected override bool TakesEta => true;

    private protected override SamplerSchedule CreateSchedule(int steps, ScheduleOptions options)
    {
        if (steps > _originalSteps)
            throw Impossible($"{steps} steps were asked for; original_inference_steps allows {_originalSteps}.");
        var timesteps = DistilledTimesteps.Of(TrainTimesteps, _originalSteps, steps);
        CheckSignal(_table, timesteps, _prediction);
        var eta = options.Eta ?? DefaultEta;
        return new(
            [.. Enumerable.Range(options.StartStep, steps - options.StartStep).Select(step => new Evaluation(
                timesteps[step], step, Step(timesteps[step], step + 1 < steps ? timesteps[step + 1] : 0, last: step + 1 == steps, eta)))],
            [], initNoiseSigma: 1, _table.Shares(timesteps[options.StartStep]), SampleBounds.None);
    }

    /// <summary>x_s = √ᾱ_s·x0 + √(1−ᾱ_s)·ε; x ← √(ᾱ'/ᾱ_s)·x_s + √(1−ᾱ'/ᾱ_s)·z.</summary>
    private Assignment[] Step(int timestep, int nextTimestep, bool last, double eta)
    {
        var between = (int)MathF.Floor((float)(1 - eta) * nextTimestep);
        var (signal, noise) = _table.Shares(timestep);
        var (signalThere, noiseThere) = _table.Shares(between);
        var clean = _prediction.ToClean(signal, noise);
        var direction = _prediction.ToNoise(signal, noise);
        var renewed = eta > 0 && !last;
        var ratio = _table.Alpha(nextTimestep) / _table.Alpha(between);
        double factor = renewed ? TorchMath.Sqrt(ratio) : 1;
        Term[] fresh = renewed ? [(Register.Noise, TorchMath.Sqrt(1 - ratio))] : [];
        return
        [
            new(Register.Sample,
            [
                (Register.Sample, factor * (signalThere * clean.Sample + noiseThere * direction.Sample)),
                (Register.Output, factor * (signalThere * clean.Output + noiseThere * direction.Output)),
                .. fresh,
            ]),
        ];
    }
}
