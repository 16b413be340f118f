namespace QuantSdk.Runtime;

/// <summary>diffusers' <c>EulerAncestralDiscreteScheduler</c>: an Euler step below the next noise level, and noise back up to it.</summary>
internal sealed class EulerAncestralSampler(SamplerConfig config) : SigmaSampler(config, withLevels: false, withEnds: false, withClean: false, withZeroSnr: true)
{
    public const string ClassName = "EulerAncestralDiscreteScheduler";

    private protected override SamplerSchedule CreateSchedule(int steps, ScheduleOptions options)
    {
        var (sigmas, timesteps) = Levels(steps);
        return new(
            [.. Enumerable.Range(options.StartStep, steps - options.StartStep).Select(step => new Evaluation(
                timesteps[step], step, Step(sigmas[step], sigmas[step + 1]), InputDivisor(sigmas[step])))],
            sigmas[options.StartStep..], InitNoiseSigma(sigmas), Start(sigmas[options.StartStep]), SampleBounds.None);
    }

    /// <summary>σ_up = √(σ'²(σ²−σ'²)/σ²), σ_down = √(σ'²−σ_up²).</summary>
    private Assignment[] Step(float sigma, float next)
    {
        var up = TorchMath.Sqrt(next * next * (sigma * sigma - next * next) / (sigma * sigma));
        var down = TorchMath.Sqrt(next * next - up * up);
        return up == 0 ? Slide(sigma, down - sigma) : Slide(sigma, down - sigma, (Register.Noise, up));
    }
}
