namespace QuantSdk.Runtime;

/// <summary>What a pipeline may tell a sampler beyond its configuration file. Samplers that have no use for a value refuse it.</summary>
public sealed record ScheduleOptions
{
    /// <summary>Nothing beyond the configuration.</summary>
    public static ScheduleOptions Default { get; } = new();

    /// <summary>
    /// DDIM and TCD: how much of the noise is drawn anew at each step, from 0 (none) to 1. Null takes diffusers' default: 0 for DDIM, 0.3 for TCD.
    /// </summary>
    public double? Eta { get; init; }

    /// <summary>The first step to take, from 0: steps before it are left out, for a run that starts from a noisy image (see <see cref="SamplerSchedule.AddNoise"/>).</summary>
    public int StartStep { get; init; }

    /// <summary>Flow matching with <c>use_dynamic_shifting</c>: the shift μ itself.</summary>
    public double? Mu { get; init; }

    /// <summary>Flow matching with <c>use_dynamic_shifting</c>: the number of image tokens, from which μ is interpolated as diffusers' pipelines do. Ignored when <see cref="Mu"/> is given.</summary>
    public int? ImageSequenceLength { get; init; }

    /// <summary>Flow matching: the noise levels before shifting, falling, one per step and without the final 0, in place of the sampler's own; Flux-like pipelines pass linspace(1, 1/n, n).</summary>
    public IReadOnlyList<float>? Sigmas { get; init; }
}
