namespace QuantSdk.Runtime;

/// <summary>diffusers' <c>DEISMultistepScheduler</c>: polynomials through ε in log ρ, ρ = σ/α (Zhang and Chen 2022, ρAB-DEIS), order 1 to 3.</summary>
internal sealed class DeisSampler : MultistepSampler
{
    public const string ClassName = "DEISMultistepScheduler";

    private const int FewSteps = 15, History = 3;
    private const Register Scratch = Register.Kept + History;

    public DeisSampler(SamplerConfig config)
        : base(config, withZeroSnr: false)
    {
        _ = config.Choice("algorithm_type", "deis", "deis", "dpmsolver", "dpmsolver++");
        _ = config.Choice("solver_type", "logrho", "logrho", "midpoint", "heun", "bh1", "bh2");
    }

    protected override float FinalSigma(SigmaTable table, float last) => table.Least;

    private protected override SamplerSchedule CreateSchedule(int steps, ScheduleOptions options)
    {
        var (sigmas, timesteps) = Levels(steps, options);
        var start = options.StartStep;
        return new(
            [.. Enumerable.Range(start, steps - start).Select(step => new Evaluation(timesteps[step], step,
            [
                .. Convert(Slot(step), Scratch, sigmas[step], toClean: false, Bounds),
                new(Register.Sample, Step(sigmas, step, OrderOf(step, done: step - start, steps))),
            ]))],
            sigmas[start..], initNoiseSigma: 1, Start(sigmas[start]), Bounds);
    }

    private int OrderOf(int step, int done, int steps)
    {
        var few = LowerOrderFinal && steps < FewSteps;
        return Math.Min(few && step >= steps - 2 ? Math.Min(Order, steps - step) : Order, done + 1);
    }

    private Term[] Step(float[] sigmas, int step, int order)
    {
        var (alphaT, sigmaT) = Shares(sigmas[step + 1]);
        var (alphaS, sigmaS) = Shares(sigmas[step]);
        if (order == 1)
        {
            var h = Lambda(sigmas[step + 1]) - Lambda(sigmas[step]);
            return [(Register.Sample, alphaT / alphaS), (Slot(step), -(sigmaT * (TorchMath.Exp(h) - 1)))];
        }
        var to = sigmaT / alphaT;
        float[] rho = [.. Enumerable.Range(0, order).Select(age => Shares(sigmas[step - age]) is var (alpha, sigma) ? sigma / alpha : 0)];
        return
        [
            (Register.Sample, alphaT / (double)alphaS),
            .. Enumerable.Range(0, order).Select(age => new Term(Slot(step - age), (double)alphaT * Weight(to, rho, age))),
        ];
    }

    /// <summary>The integral from ρ_s to ρ_t of the Lagrange polynomial in log ρ that is 1 at ρ[age].</summary>
    private float Weight(float to, float[] rho, int age)
    {
        var own = NumPyMath.Log(rho[age]);
        // in the order in which diffusers names the others, so that float32 rounds alike
        float[] others = [.. Enumerable.Range(1, rho.Length - 1).Select(k => NumPyMath.Log(rho[(age + k) % rho.Length]))];
        return others is [var c] ? Linear(to, own, c) - Linear(rho[0], own, c)
            : Quadratic(to, own, others[0], others[1]) - Quadratic(rho[0], own, others[0], others[1]);
    }

    /// <summary>An antiderivative of (log t − c)/(b − c).</summary>
    private float Linear(float t, float b, float c) => t * (-c + NumPyMath.Log(t) - 1) / (b - c);

    /// <summary>An antiderivative of (log t − c)(log t − d)/((b − c)(b − d)).</summary>
    private float Quadratic(float t, float b, float c, float d)
    {
        var log = NumPyMath.Log(t);
        return t * (c * (d - log + 1) - d * log + d + log * log - 2 * log + 2) / ((b - c) * (b - d));
    }

    private static Register Slot(int step) => Register.Kept + step % History;
}
