namespace QuantSdk.Runtime;

/// <summary>
/// Samplers that integrate in λ = log α − log σ with x = α·image + σ·noise (Lu et al. 2022), from a table of noise levels σ/α that
/// diffusers calls sigmas; with use_flow_sigmas α = 1 − σ.
/// </summary>
internal abstract class MultistepSampler : Sampler
{
    private readonly SigmaTable _table;
    private readonly SigmaSpacing _levels;
    private readonly string _spacing;
    private readonly int _stepsOffset;
    private readonly double _flowShift;
    private readonly bool _dynamicShift;

    protected MultistepSampler(SamplerConfig config, bool withLu = false, bool withEnds = false, bool withZeroSnr = true)
        : base(config)
    {
        _table = new(config, TrainTimesteps, knowsZeroSnr: withZeroSnr);
        _levels = SigmaSpacing.Read(config, withLu, withEnds);
        _spacing = TimestepSpacing.Read(config, TimestepSpacing.LinSpace);
        _stepsOffset = config.Int("steps_offset", 0, least: 0);
        Order = config.Int("solver_order", 2, least: 1);
        LowerOrderFinal = config.Bool("lower_order_final", true);
        Prediction = Prediction.ReadWithFlow(config);
        Bounds = SampleBounds.ReadThreshold(config);
        Flow = config.Bool("use_flow_sigmas", false);
        _flowShift = config.Double("flow_shift", 1);
        _dynamicShift = config.Bool("use_dynamic_shifting", false);
        if (_flowShift <= 0)
            throw config.Unusable($"'flow_shift' is {_flowShift}; a number above 0 is expected.");
        if (Order > 3)
            throw config.Unusable($"'solver_order' is {Order}; 1, 2 or 3 is expected.");
        if (Prediction == Prediction.Flow && !Flow)
            throw config.Unusable("'prediction_type' is flow_prediction, which needs 'use_flow_sigmas' to be true.");
        if (Flow && _levels.Kind is not (SigmaSpacing.Rule.Own or SigmaSpacing.Rule.Karras) || Flow && _levels.Kind == SigmaSpacing.Rule.Karras && !withEnds)
            throw config.Unusable($"'use_flow_sigmas' cannot be combined with other noise levels in {config.ClassName}.");
        if (_dynamicShift && config.Choice("time_shift_type", "exponential", "exponential", "linear") != "exponential")
            throw config.Unsupported("time_shift_type", "Use exponential.");
    }

    protected int Order { get; }

    protected bool LowerOrderFinal { get; }

    protected bool Flow { get; }

    protected Prediction Prediction { get; }

    protected SampleBounds Bounds { get; }

    /// <summary>Whether the noise levels follow a rule of their own, instead of the timesteps.</summary>
    protected bool Levelled => Flow || _levels.Kind != SigmaSpacing.Rule.Own;

    private protected override bool TakesShift => _dynamicShift;

    /// <summary>The noisiest timestep allowed, and one more.</summary>
    protected virtual int End(SigmaTable table) => TrainTimesteps;

    /// <summary>The level after the last step.</summary>
    protected abstract float FinalSigma(SigmaTable table, float last);

    /// <summary>Whether timesteps that are derived from noise levels are rounded; else they are cut off.</summary>
    protected virtual bool RoundsTimesteps => true;

    /// <summary>The noise level of each step and after the last one, and the timestep of each step.</summary>
    protected (float[] Sigmas, int[] Timesteps) Levels(int steps, ScheduleOptions options)
    {
        if (options.ImageSequenceLength is not null)
            throw Impossible("ImageSequenceLength is an option of FlowMatchEulerDiscreteScheduler; give Mu.");
        double[] levels;
        int[] timesteps;
        switch (_levels.Kind)
        {
            case SigmaSpacing.Rule.Own when Flow:
                var shift = _dynamicShift ? Math.Exp(options.Mu ?? throw Impossible("use_dynamic_shifting is true: give ScheduleOptions.Mu.")) : _flowShift;
                levels = [.. Enumerable.Range(0, steps).Select(i => (steps - i) * ((1 - 1.0 / TrainTimesteps) / steps)).Select(sigma => shift * sigma / (1 + (shift - 1) * sigma))];
                timesteps = Array.ConvertAll(levels, sigma => (int)(sigma * TrainTimesteps));
                break;
            case SigmaSpacing.Rule.Own:
                timesteps = TimestepSpacing.WholeButLast(_spacing, End(_table), TrainTimesteps, steps, _stepsOffset);
                CheckTimesteps(timesteps, steps);
                levels = Array.ConvertAll(timesteps, timestep => _table.At(timestep));
                break;
            default:
                levels = _levels.Levels(_table.Most, _table.Least, steps);
                if (Flow)
                    levels = Array.ConvertAll(levels, sigma => sigma / (sigma + 1));
                timesteps = Array.ConvertAll(levels, sigma => (int)(Flow ? sigma * TrainTimesteps
                    : RoundsTimesteps && _levels.Kind is (SigmaSpacing.Rule.Karras or SigmaSpacing.Rule.Lu) ? Math.Round(_table.Timestep(sigma)) : _table.Timestep(sigma)));
                break;
        }
        return ([.. levels.Select(sigma => (float)sigma), FinalSigma(_table, (float)levels[^1])], timesteps);
    }

    /// <summary>α and σ of a noise level.</summary>
    protected (float Alpha, float Sigma) Shares(float level)
    {
        if (Flow)
            return (1 - level, level);
        var alpha = 1 / TorchMath.Sqrt(level * level + 1);
        return (alpha, level * alpha);
    }

    /// <summary>λ of a noise level; infinite where no noise is left.</summary>
    protected float Lambda(float level)
    {
        var (alpha, sigma) = Shares(level);
        return TorchMath.Log(alpha) - TorchMath.Log(sigma);
    }

    /// <summary>Keeps what the method integrates: x0, or ε.</summary>
    /// <param name="target">Receives it.</param>
    /// <param name="scratch">Takes x0 where ε is integrated and x0 bounded.</param>
    protected Assignment[] Convert(Register target, Register scratch, float level, bool toClean, SampleBounds bounds)
    {
        var (alpha, sigma) = Shares(level);
        var clean = Prediction.ToClean(alpha, sigma);
        if (toClean)
            return [new(target, [(Register.Sample, clean.Sample), (Register.Output, clean.Output)], Bounded: true)];
        if (bounds.Any)
            return
            [
                new(scratch, [(Register.Sample, clean.Sample), (Register.Output, clean.Output)], Bounded: true),
                new(target, [(Register.Sample, 1.0 / sigma), (scratch, -(double)alpha / sigma)]),
            ];
        var noise = Prediction.ToNoise(alpha, sigma);
        return [new(target, [(Register.Sample, noise.Sample), (Register.Output, noise.Output)])];
    }

    protected (double Image, double Noise) Start(float level) => Shares(level);
}
