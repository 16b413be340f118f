namespace QuantSdk.Runtime;

/// <summary>diffusers' <c>HeunDiscreteScheduler</c> (Karras et al. 2022, algorithm 1): an Euler step, then one with the mean slope of both ends; the last is Euler's.</summary>
internal sealed class HeunSampler : SigmaSampler
{
    public const string ClassName = "HeunDiscreteScheduler";

    private const Register Clean0 = Register.Kept, Slope0 = Register.Kept + 1, Start0 = Register.Kept + 2;

    private readonly SampleBounds _bounds;

    public HeunSampler(SamplerConfig config)
        : base(config, withLevels: true, withEnds: false, withClean: true, withZeroSnr: false, 0.00085, 0.012) => _bounds = SampleBounds.ReadClip(config);

    private protected override SamplerSchedule CreateSchedule(int steps, ScheduleOptions options)
    {
        var (sigmas, timesteps) = Levels(steps);
        var evaluations = new List<Evaluation>();
        var levels = new List<float>();
        for (var step = options.StartStep; step < steps; step++)
        {
            var (sigma, next) = (sigmas[step], sigmas[step + 1]);
            evaluations.Add(new(timesteps[step], step, First(sigma, next), InputDivisor(sigma)));
            levels.Add(sigma);
            if (step + 1 == steps)
                break;
            evaluations.Add(new(timesteps[step + 1], step, Second(sigma, next), InputDivisor(next)));
            levels.Add(next);
        }
        return new(evaluations, [.. levels, 0], InitNoiseSigma(sigmas), Start(sigmas[options.StartStep]), _bounds);
    }

    private Assignment[] First(float sigma, float next) =>
    [
        CleanAt(sigma),
        new(Slope0, [(Register.Sample, 1.0 / sigma), (Clean0, -1.0 / sigma)]),
        new(Start0, [(Register.Sample, 1)]),
        new(Register.Sample, [(Register.Sample, 1), (Slope0, next - sigma)]),
    ];

    private Assignment[] Second(float sigma, float next) =>
    [
        CleanAt(next),
        new(Register.Sample, [(Register.Sample, 0.5 * (next - sigma) / next), (Clean0, -0.5 * (next - sigma) / next), (Slope0, 0.5 * (next - sigma)), (Start0, 1)]),
    ];

    private Assignment CleanAt(float sigma)
    {
        var clean = Clean(sigma);
        return new(Clean0, [(Register.Sample, clean.Sample), (Register.Output, clean.Output)], Bounded: true);
    }
}
