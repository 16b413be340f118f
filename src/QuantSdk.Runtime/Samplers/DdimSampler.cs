namespace QuantSdk.Runtime;

/// <summary>diffusers' <c>DDIMScheduler</c> with η = 0 (Song et al. 2020, equation 12): deterministic, first order.</summary>
internal sealed class DdimSampler : Sampler
{
    public const string ClassName = "DDIMScheduler";

    private readonly float[] _alphasCumprod;
    private readonly float _finalAlphaCumprod;
    private readonly string _spacing;
    private readonly int _stepsOffset;

    public DdimSampler(SamplerConfig config)
        : base(config)
    {
        _alphasCumprod = BetaSchedule.AlphasCumprod(config, TrainTimesteps);
        _finalAlphaCumprod = config.Bool("set_alpha_to_one", true) ? 1f : _alphasCumprod[0];
        _spacing = config.Choice("timestep_spacing", TimestepSpacing.Leading, TimestepSpacing.Leading, TimestepSpacing.LinSpace, TimestepSpacing.Trailing);
        _stepsOffset = config.Int("steps_offset", 0, least: 0);
        Prediction = Prediction.Read(config);
        Bounds = SampleBounds.Read(config, clipByDefault: true);
    }

    public Prediction Prediction { get; }

    public SampleBounds Bounds { get; }

    private protected override SamplerSchedule CreateSchedule(int steps, ScheduleOptions options)
    {
        if (options != ScheduleOptions.Default)
            throw Impossible("Mu, ImageSequenceLength and Sigmas are options of flow matching; leave them out.");
        if (steps > TrainTimesteps)
            throw Impossible($"{steps} steps were asked for; the model was trained with {TrainTimesteps}.");
        var timesteps = TimestepSpacing.Whole(_spacing, TrainTimesteps, steps, _stepsOffset);
        if (timesteps[0] >= TrainTimesteps)
            throw Impossible($"with {steps} steps and steps_offset {_stepsOffset} the first timestep is {timesteps[0]}, beyond the last one of the training schedule, {TrainTimesteps - 1}. Use fewer steps.");
        var alphas = Array.ConvertAll(timesteps, timestep => _alphasCumprod[timestep]);
        // The previous timestep is ⌊N/n⌋ back under every spacing: diffusers does it so, and the models are tuned with it.
        var next = Array.ConvertAll(timesteps, timestep => timestep - TrainTimesteps / steps is >= 0 and var previous ? _alphasCumprod[previous] : _finalAlphaCumprod);
        if (alphas.Contains(0f) && Prediction == Prediction.Epsilon)
            throw Impossible("prediction_type is epsilon and the first timestep holds no signal (rescale_betas_zero_snr), so that the image cannot be told from the noise. Such models predict v or the sample.");
        return new DdimSchedule(this, timesteps, alphas, next);
    }
}
