namespace QuantSdk.Runtime;

/// <summary>
/// diffusers' <c>DPMSolverMultistepScheduler</c>: DPM-Solver++ (Lu et al. 2022b) and DPM-Solver (Lu et al. 2022a) of order 1 to 3, and their
/// stochastic forms.
/// </summary>
internal sealed class DpmSolverSampler : MultistepSampler
{
    public const string ClassName = "DPMSolverMultistepScheduler";

    private const int FewSteps = 15, History = 3;
    private const Register Scratch = Register.Kept + History;

    private readonly bool _clean, _stochastic, _heun, _eulerAtFinal, _endsAtZero, _rounds;
    private readonly double _leastLambda;

    public DpmSolverSampler(SamplerConfig config)
        : base(config, withLu: true)
    {
        var algorithm = config.Choice("algorithm_type", "dpmsolver++", "dpmsolver++", "dpmsolver", "sde-dpmsolver++", "sde-dpmsolver", "deis");
        _clean = algorithm is "dpmsolver++" or "sde-dpmsolver++" or "deis";
        _stochastic = algorithm is "sde-dpmsolver++" or "sde-dpmsolver";
        _heun = config.Choice("solver_type", "midpoint", "midpoint", "heun", "logrho", "bh1", "bh2") == "heun";
        _eulerAtFinal = config.Bool("euler_at_final", false);
        _endsAtZero = config.Choice("final_sigmas_type", "zero", "zero", "sigma_min") == "zero";
        _leastLambda = config.OptionalDouble("lambda_min_clipped") ?? double.NegativeInfinity;
        _rounds = config.Choice("beta_schedule", "linear", "linear", "scaled_linear", "squaredcos_cap_v2") != "squaredcos_cap_v2";
        if (!_clean && _endsAtZero)
            throw config.Unsupported("final_sigmas_type", $"With algorithm_type {algorithm} only sigma_min is possible.");
        if (algorithm == "sde-dpmsolver" && Order == 3)
            throw config.Unsupported("solver_order", "sde-dpmsolver goes up to order 2.");
        if (!_clean && Prediction == Prediction.Flow)
            throw config.Unsupported("prediction_type", "flow_prediction goes with dpmsolver++ and sde-dpmsolver++.");
        if (double.IsNaN(_leastLambda))
            throw config.Unusable("'lambda_min_clipped' is NaN; a number or -Infinity is expected.");
    }

    protected override bool RoundsTimesteps => _rounds;

    protected override int End(SigmaTable table) => table.CountFrom(_leastLambda);

    protected override float FinalSigma(SigmaTable table, float last) => _endsAtZero ? 0 : table.Least;

    private protected override SamplerSchedule CreateSchedule(int steps, ScheduleOptions options)
    {
        var (sigmas, timesteps) = Levels(steps, options);
        var start = options.StartStep;
        return new(
            [.. Enumerable.Range(start, steps - start).Select(step => new Evaluation(timesteps[step], step,
            [
                .. Convert(Slot(step), Scratch, sigmas[step], _clean, Bounds),
                new(Register.Sample, Step(sigmas, step, OrderOf(step, done: step - start, steps))),
            ]))],
            sigmas[start..], initNoiseSigma: 1, Start(sigmas[start]), Bounds);
    }

    private int OrderOf(int step, int done, int steps)
    {
        var few = LowerOrderFinal && steps < FewSteps;
        var most = step == steps - 1 && (_eulerAtFinal || few || _endsAtZero) ? 1 : step == steps - 2 && few ? 2 : Order;
        return Math.Min(Math.Min(most, Order), done + 1);
    }

    /// <summary>One step from λ_s to λ_t, h = λ_t − λ_s, with divided differences D of what was predicted before. diffusers takes x and z in float32 here.</summary>
    private Term[] Step(float[] sigmas, int step, int order)
    {
        var (alphaT, sigmaT) = Shares(sigmas[step + 1]);
        var (alphaS, sigmaS) = Shares(sigmas[step]);
        var h = Lambda(sigmas[step + 1]) - Lambda(sigmas[step]);
        if (h == 0) // levels that end at the least one, and the least one as the final level: diffusers divides by 0 in some orders
            return [(Register.Sample, 1)];
        var (ofSample, ofD0, ofD1, ofD2, ofNoise) = (_clean, _stochastic) switch
        {
            (true, false) => Clean(alphaT, sigmaT / sigmaS, h, order),
            (true, true) => CleanStochastic(alphaT, sigmaT, sigmaS, h, order),
            _ => Noise(alphaT / alphaS, sigmaT, h, order),
        };
        Term sample = new(Register.Sample, ofSample, SingleRounding.Product);
        Term[] noise = ofNoise == 0 ? [] : [new(Register.Noise, ofNoise, SingleRounding.Product)];
        if (order == 1)
            return [sample, (Slot(step), ofD0), .. noise];
        var h0 = Lambda(sigmas[step]) - Lambda(sigmas[step - 1]);
        var r0 = h0 / h;
        double perR0 = 1 / r0;
        if (order == 2)
            return [sample, (Slot(step), ofD0 + ofD1 * perR0), (Slot(step - 1), -ofD1 * perR0), .. noise];
        var r1 = (Lambda(sigmas[step - 1]) - Lambda(sigmas[step - 2])) / h;
        double perR1 = 1 / r1, share = r0 / (r0 + r1), perSum = 1 / (r0 + r1);
        var newer = ofD1 * (1 + share) + ofD2 * perSum;
        var older = -(ofD1 * share + ofD2 * perSum);
        return [sample, (Slot(step), ofD0 + newer * perR0), (Slot(step - 1), -newer * perR0 + older * perR1), (Slot(step - 2), -older * perR1), .. noise];
    }

    /// <summary>Lu et al. 2022b, algorithm 2 and equation 9.</summary>
    private (double, double, double, double, double) Clean(float alpha, float ratio, float h, int order)
    {
        var phi = TorchMath.Exp(-h) - 1;
        return (ratio, -(alpha * phi),
            order == 1 ? 0 : order == 2 && !_heun ? -(0.5f * (alpha * phi)) : alpha * (phi / h + 1),
            order == 3 ? -(alpha * ((phi + h) / (h * h) - 0.5f)) : 0, 0);
    }

    private (double, double, double, double, double) CleanStochastic(float alpha, float sigma, float sigmaBefore, float h, int order)
    {
        var phi = 1 - TorchMath.Exp(-2 * h);
        return (sigma / sigmaBefore * TorchMath.Exp(-h), alpha * phi,
            order == 1 ? 0 : order == 2 && !_heun ? 0.5f * (alpha * phi) : alpha * (phi / (-2 * h) + 1),
            order == 3 ? alpha * ((phi - 2 * h) / (2 * h * (2 * h)) - 0.5f) : 0,
            sigma * TorchMath.Sqrt(phi));
    }

    /// <summary>Lu et al. 2022a, equation 3.6 and appendix B; the stochastic form has twice the weight of ε, and noise.</summary>
    private (double, double, double, double, double) Noise(float ratio, float sigma, float h, int order)
    {
        var phi = TorchMath.Exp(h) - 1;
        var twice = _stochastic ? 2f : 1f;
        return (ratio, -(twice * (sigma * phi)),
            order == 1 ? 0 : order == 2 && !_heun ? -(0.5f * twice * (sigma * phi)) : -(twice * (sigma * (phi / h - 1))),
            order == 3 ? -(sigma * ((phi - h) / (h * h) - 0.5f)) : 0,
            _stochastic ? sigma * TorchMath.Sqrt(TorchMath.Exp(2 * h) - 1) : 0);
    }

    private static Register Slot(int step) => Register.Kept + step % History;
}
