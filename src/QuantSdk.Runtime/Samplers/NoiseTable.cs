namespace QuantSdk.Runtime;

/// <summary>ᾱ of each training timestep, and √ᾱ and √(1−ᾱ), the shares of image and noise in a sample.</summary>
internal sealed class NoiseTable
{
    private readonly float[] _alphasCumprod;
    private readonly float _final;

    /// <param name="betaStart">The class's default.</param>
    /// <param name="betaEnd">The class's default.</param>
    /// <param name="alphaToOne">The class's default of set_alpha_to_one, or null where the class has no such key and ends at ᾱ = 1.</param>
    public NoiseTable(SamplerConfig config, int trainTimesteps, bool? alphaToOne, double betaStart = 0.0001, double betaEnd = 0.02, string betaSchedule = "linear", bool knowsZeroSnr = true)
    {
        _alphasCumprod = BetaSchedule.AlphasCumprod(config, trainTimesteps, betaStart, betaEnd, betaSchedule, knowsZeroSnr);
        _final = alphaToOne is not { } fallback || config.Bool("set_alpha_to_one", fallback) ? 1f : _alphasCumprod[0];
    }

    /// <summary>ᾱ; the final one for a timestep below 0.</summary>
    public float Alpha(int timestep) => timestep < 0 ? _final : _alphasCumprod[timestep];

    /// <summary>Whether the image could be told from ε at all of these timesteps.</summary>
    public bool HasSignal(IEnumerable<int> timesteps) => timesteps.All(timestep => Alpha(timestep) > 0);

    /// <summary>√ᾱ and √(1−ᾱ).</summary>
    public (float Signal, float Noise) Shares(int timestep) => (TorchMath.Sqrt(Alpha(timestep)), TorchMath.Sqrt(1 - Alpha(timestep)));
}
