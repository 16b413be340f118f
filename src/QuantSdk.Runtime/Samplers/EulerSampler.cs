namespace QuantSdk.Runtime;

/// <summary>diffusers' <c>EulerDiscreteScheduler</c> (Karras et al. 2022, algorithm 2 without churn): x ← x + (σ'−σ)·(x−x0)/σ.</summary>
internal sealed class EulerSampler(SamplerConfig config) : SigmaSampler(config, withLevels: true, withEnds: true, withClean: false, withZeroSnr: true)
{
    public const string ClassName = "EulerDiscreteScheduler";

    private protected override SamplerSchedule CreateSchedule(int steps, ScheduleOptions options)
    {
        var (sigmas, timesteps) = Levels(steps);
        return new(
            [.. Enumerable.Range(options.StartStep, steps - options.StartStep).Select(step => new Evaluation(
                timesteps[step], step, Slide(sigmas[step], sigmas[step + 1] - sigmas[step]), InputDivisor(sigmas[step])))],
            sigmas[options.StartStep..], InitNoiseSigma(sigmas), Start(sigmas[options.StartStep]), SampleBounds.None);
    }
}
