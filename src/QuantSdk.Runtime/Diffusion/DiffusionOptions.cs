namespace QuantSdk.Runtime;

/// <summary>What a run of a <see cref="DiffusionPipeline"/> does beyond its defaults.</summary>
public sealed record DiffusionOptions
{
    /// <summary>The number of steps, 1 or more.</summary>
    public required int Steps { get; init; }

    /// <summary>The strength of guidance; 1 turns it off and halves the work.</summary>
    public float GuidanceScale { get; init; } = 1;

    /// <summary>
    /// φ of Lin et al. 2023, §3.4, from 0 to 1: how far each guided prediction is scaled back to the standard deviation of the conditional one,
    /// against overexposure at high <see cref="GuidanceScale"/>.
    /// </summary>
    public float GuidanceRescale { get; init; }

    /// <summary>Where stochastic samplers take the noise of their steps from. Draw the latents from it before: then a seed gives the image that diffusers gives.</summary>
    public TorchNoise? Noise { get; init; }

    /// <summary>A clean sample to start from, shaped like the latents, or null. The latents are the noise that is mixed with it.</summary>
    public ModelTensor? Image { get; init; }

    /// <summary>With <see cref="Image"/>: the share of the steps that is taken, above 0 to 1; the others are left out, and the less of the image is changed.</summary>
    public double Strength { get; init; } = 1;
}
