namespace QuantSdk.Runtime;

/// <summary>diffusers' <c>LMSDiscreteScheduler</c>: a linear multistep method of order 4 in d = (x−x0)/σ over uneven noise levels.</summary>
internal sealed class LmsSampler(SamplerConfig config) : SigmaSampler(config, withLevels: true, withEnds: false, withClean: true, withZeroSnr: false)
{
    public const string ClassName = "LMSDiscreteScheduler";

    private const int Order = 4;

    private protected override SamplerSchedule CreateSchedule(int steps, ScheduleOptions options)
    {
        var (sigmas, timesteps) = Levels(steps);
        var start = options.StartStep;
        return new(
            [.. Enumerable.Range(start, steps - start).Select(step => new Evaluation(timesteps[step], step, Step(sigmas, step, order: Math.Min(step - start + 1, Order)), InputDivisor(sigmas[step])))],
            sigmas[start..], InitNoiseSigma(sigmas), Start(sigmas[start]), SampleBounds.None);
    }

    private Assignment[] Step(float[] sigmas, int step, int order)
    {
        var sigma = sigmas[step];
        var clean = Clean(sigma);
        return
        [
            new(Slot(step), [(Register.Sample, Prediction == Prediction.Epsilon ? 0 : (1 - clean.Sample) / sigma), (Register.Output, -clean.Output / sigma)]),
            new(Register.Sample, [(Register.Sample, 1), .. Enumerable.Range(0, order).Select(age => new Term(Slot(step - age), Weight(sigmas, step, order, age)))]),
        ];
    }

    /// <summary>The integral from σ to σ' of the Lagrange polynomial that is 1 at the level of one slope and 0 at the others'.</summary>
    private static double Weight(float[] sigmas, int step, int order, int age)
    {
        return GaussKronrod.Integrate(tau =>
        {
            // diffusers integrates in float32
            var product = 1f;
            for (var k = 0; k < order; k++)
                if (k != age)
                    product *= ((float)tau - sigmas[step - k]) / (sigmas[step - age] - sigmas[step - k]);
            return product;
        }, sigmas[step], sigmas[step + 1]);
    }

    private static Register Slot(int step) => Register.Kept + step % Order;
}
