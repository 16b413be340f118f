namespace QuantSdk.Runtime;

/// <summary>diffusers' <c>FlowMatchEulerDiscreteScheduler</c> (Esser et al. 2024): x = (1−σ)·image + σ·noise, the model predicts dx/dσ, Euler steps.</summary>
internal sealed class FlowMatchEulerSampler : Sampler
{
    public const string ClassName = "FlowMatchEulerDiscreteScheduler";

    private readonly double _shift, _baseShift, _maxShift;
    private readonly int _baseLength, _maxLength;
    private readonly double? _shiftTerminal;
    private readonly bool _dynamicShifting, _linearTimeShift, _invert, _stochastic;
    private readonly SigmaSpacing _levels;

    public FlowMatchEulerSampler(SamplerConfig config)
        : base(config)
    {
        _shift = config.Double("shift", 1);
        _dynamicShifting = config.Bool("use_dynamic_shifting", false);
        _baseShift = config.Double("base_shift", 0.5);
        _maxShift = config.Double("max_shift", 1.15);
        _baseLength = config.Int("base_image_seq_len", 256, least: 1);
        _maxLength = config.Int("max_image_seq_len", 4096, least: 1);
        _invert = config.Bool("invert_sigmas", false);
        _shiftTerminal = config.OptionalDouble("shift_terminal");
        _stochastic = config.Bool("stochastic_sampling", false);
        _levels = SigmaSpacing.Read(config);
        _linearTimeShift = config.Choice("time_shift_type", "exponential", "exponential", "linear") == "linear";
        if (_shift <= 0)
            throw config.Unusable($"'shift' is {_shift}; a number above 0 is expected.");
        if (_shiftTerminal is not (null or (>= 0 and < 1)))
            throw config.Unusable($"'shift_terminal' is {_shiftTerminal}; a number from 0 to below 1 is expected.");
    }

    private protected override bool TakesShift => true;

    private protected override bool TakesSigmas => true;

    private protected override SamplerSchedule CreateSchedule(int steps, ScheduleOptions options)
    {
        var sigmas = Shift(Unshifted(steps, options), options);
        if (_shiftTerminal is { } terminal and not 0)
            StretchTo(sigmas, terminal);
        if (_levels.Kind != SigmaSpacing.Rule.Own)
            sigmas = _levels.Levels(sigmas[0], sigmas[^1], steps);
        float[] levels = [.. sigmas.Select(sigma => _invert ? 1f - (float)sigma : (float)sigma), _invert ? 1f : 0f];
        var start = options.StartStep;
        return new(
            [.. Enumerable.Range(start, steps - start).Select(step => new Evaluation(levels[step] * TrainTimesteps, step, [Step(levels[step], levels[step + 1])]))],
            levels[start..], initNoiseSigma: 1, (1 - (double)levels[start], levels[start]), SampleBounds.None);
    }

    /// <summary>x ← x + (σ'−σ)·v, or, drawn anew, (1−σ')·(x − σ·v) + σ'·z. diffusers takes x in float32 here.</summary>
    private Assignment Step(float sigma, float next)
    {
        Term sample = new(Register.Sample, 1, SingleRounding.Register);
        if (!_stochastic)
            return new(Register.Sample, [sample, (Register.Output, next - sigma)]);
        var kept = 1 - next;
        Term[] fresh = next == 0 ? [] : [(Register.Noise, next)];
        return new(Register.Sample, [sample with { Factor = kept }, (Register.Output, -(double)kept * sigma), .. fresh]);
    }

    /// <summary>Evenly spaced between the ends of the training table, which the constructor of diffusers has already shifted once.</summary>
    private double[] Unshifted(int steps, ScheduleOptions options)
    {
        if (options.Sigmas is { } given)
            return given.Count == steps && given.All(sigma => sigma is > 0 and <= 1)
                ? [.. given.Select(sigma => (double)sigma)]
                : throw Impossible($"Sigmas must hold {steps} numbers above 0 and up to 1, one per step.");
        double most = TrainTimesteps, least = (float)TableEnd() * (double)TrainTimesteps;
        return [.. Enumerable.Range(0, steps).Select(i => (steps == 1 ? most : most + i * ((least - most) / (steps - 1))) / TrainTimesteps)];
    }

    private double TableEnd() => _dynamicShifting ? 1.0 / TrainTimesteps : StaticShift(1.0 / TrainTimesteps);

    private double[] Shift(double[] sigmas, ScheduleOptions options)
    {
        if (!_dynamicShifting)
            return options.Mu is null && options.ImageSequenceLength is null
                ? Array.ConvertAll(sigmas, StaticShift)
                : throw Impossible("Mu or ImageSequenceLength was given, but use_dynamic_shifting is false in the configuration.");
        var mu = options.Mu ?? (options.ImageSequenceLength is { } length ? MuFor(length)
            : throw Impossible("use_dynamic_shifting is true: give ScheduleOptions.Mu, or ImageSequenceLength (the number of image tokens)."));
        var weight = _linearTimeShift ? mu : Math.Exp(mu);
        return Array.ConvertAll(sigmas, sigma => weight / (weight + (1 / sigma - 1)));
    }

    private double StaticShift(double sigma) => _shift * sigma / (1 + (_shift - 1) * sigma);

    private double MuFor(int length) => _maxLength == _baseLength
        ? _baseShift
        : _baseShift + (length - _baseLength) * (_maxShift - _baseShift) / (_maxLength - _baseLength);

    /// <summary>Stretches 1 − σ so that the last level is the terminal one.</summary>
    private static void StretchTo(double[] sigmas, double terminal)
    {
        var scale = (1 - sigmas[^1]) / (1 - terminal);
        if (scale != 0) // a single step starts and ends at σ = 1
            for (var i = 0; i < sigmas.Length; i++)
                sigmas[i] = 1 - (1 - sigmas[i]) / scale;
    }
}
