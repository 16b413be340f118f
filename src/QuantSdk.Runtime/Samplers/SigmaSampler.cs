namespace QuantSdk.Runtime;

/// <summary>
/// Samplers in the coordinates of Karras et al. 2022, x = image + σ·noise: the model sees x/√(σ²+1), and steps follow d = (x − x0)/σ.
/// </summary>
internal abstract class SigmaSampler : Sampler
{
    private readonly string _spacing;
    private readonly int _stepsOffset;
    private readonly SigmaSpacing? _levels;
    private readonly bool _endsAtLeast, _continuousTimesteps;

    /// <param name="withLevels">Whether the class knows use_karras_sigmas and its like.</param>
    /// <param name="withEnds">Whether the class knows sigma_min, sigma_max and final_sigmas_type.</param>
    /// <param name="withClean">Whether the class takes a model that predicts the clean sample.</param>
    /// <param name="withZeroSnr">Whether the class knows rescale_betas_zero_snr.</param>
    protected SigmaSampler(SamplerConfig config, bool withLevels, bool withEnds, bool withClean, bool withZeroSnr, double betaStart = 0.0001, double betaEnd = 0.02)
        : base(config)
    {
        Table = new(config, TrainTimesteps, betaStart, betaEnd, withZeroSnr);
        Prediction = Prediction.Read(config);
        if (Prediction == Prediction.Clean && !withClean)
            throw config.Unsupported("prediction_type", "Use epsilon or v_prediction.");
        _spacing = TimestepSpacing.Read(config, TimestepSpacing.LinSpace);
        _stepsOffset = config.Int("steps_offset", 0, least: 0);
        _levels = withLevels ? SigmaSpacing.Read(config, withEnds: withEnds) : null;
        if (!withEnds)
            return;
        _endsAtLeast = config.Choice("final_sigmas_type", "zero", "zero", "sigma_min") == "sigma_min";
        _continuousTimesteps = config.Choice("timestep_type", "discrete", "discrete", "continuous") == "continuous" && Prediction == Prediction.Velocity;
        if (config.Choice("interpolation_type", "linear", "linear", "log_linear") != "linear")
            throw config.Unsupported("interpolation_type", "Use linear.");
    }

    protected SigmaTable Table { get; }

    protected Prediction Prediction { get; }

    /// <summary>The noise level of each step and after the last one, and the timestep of each step.</summary>
    protected (float[] Sigmas, float[] Timesteps) Levels(int steps)
    {
        if (steps > TrainTimesteps)
            throw Impossible($"{steps} steps were asked for; the model was trained with {TrainTimesteps}.");
        var timesteps = TimestepSpacing.Fractional(_spacing, TrainTimesteps, steps, _stepsOffset);
        var levels = Array.ConvertAll(timesteps, timestep => Table.At(timestep));
        if (_levels is { Kind: not SigmaSpacing.Rule.Own })
        {
            levels = _levels.Levels(levels[0], levels[^1], steps);
            timesteps = Array.ConvertAll(levels, sigma => (float)Table.Timestep(sigma));
        }
        float[] sigmas = [.. levels.Select(sigma => (float)sigma), _endsAtLeast ? Table.Least : 0];
        if (_continuousTimesteps)
            timesteps = [.. sigmas[..^1].Select(sigma => 0.25f * TorchMath.Log(sigma))];
        return (sigmas, timesteps);
    }

    protected float InitNoiseSigma(float[] sigmas) =>
        _spacing == TimestepSpacing.Leading ? TorchMath.Sqrt(sigmas[0] * sigmas[0] + 1) : sigmas[0];

    protected float InputDivisor(float sigma) => TorchMath.Sqrt(sigma * sigma + 1);

    /// <summary>x0 = a·x + b·output at a noise level.</summary>
    protected (double Sample, double Output) Clean(float sigma) =>
        Prediction == Prediction.Epsilon ? (1, -sigma)
        : Prediction == Prediction.Velocity ? (1.0 / (sigma * sigma + 1), -sigma / TorchMath.Sqrt(sigma * sigma + 1))
        : (0, 1);

    /// <summary>x ← x + length·(x−x0)/σ + what is given beside. diffusers takes x in float32 here.</summary>
    protected Assignment[] Slide(float sigma, float length, params Term[] beside)
    {
        if (Prediction == Prediction.Epsilon) // (x−x0)/σ is the prediction itself
            return [new(Register.Sample, [new(Register.Sample, 1, SingleRounding.Register), (Register.Output, length), .. beside])];
        const Register Denoised = Register.Kept;
        var clean = Clean(sigma);
        var perClean = -(double)length / sigma;
        return
        [
            new(Denoised, [new(Register.Sample, clean.Sample, SingleRounding.Product), (Register.Output, clean.Output)]),
            new(Register.Sample, [new(Register.Sample, 1 - perClean, SingleRounding.Register), (Denoised, perClean), .. beside]),
        ];
    }

    protected static (double Image, double Noise) Start(float sigma) => (1, sigma);
}
