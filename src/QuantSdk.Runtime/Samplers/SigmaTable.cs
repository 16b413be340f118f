namespace QuantSdk.Runtime;

/// <summary>σ = √((1−ᾱ)/ᾱ) of each training timestep, and of those between.</summary>
internal sealed class SigmaTable
{
    private readonly float[] _sigmas, _logSigmas;

    /// <param name="betaStart">The class's default.</param>
    /// <param name="betaEnd">The class's default.</param>
    public SigmaTable(SamplerConfig config, int trainTimesteps, double betaStart = 0.0001, double betaEnd = 0.02, bool knowsZeroSnr = true)
    {
        var alphas = BetaSchedule.AlphasCumprod(config, trainTimesteps, betaStart, betaEnd, knowsZeroSnr: knowsZeroSnr);
        if (alphas[^1] == 0)
            alphas[^1] = 1f / (1 << 24); // keeps the first σ finite, as diffusers does
        _sigmas = Array.ConvertAll(alphas, alpha => TorchMath.Sqrt((1 - alpha) / alpha));
        _logSigmas = Array.ConvertAll(_sigmas, sigma => (float)Math.Log(sigma));
    }

    public float Least => _sigmas[0];

    public float Most => _sigmas[^1];

    public int Count => _sigmas.Length;

    /// <summary>Linear between two timesteps.</summary>
    public double At(double timestep)
    {
        var below = Math.Clamp((int)timestep, 0, _sigmas.Length - 1);
        var above = Math.Min(below + 1, _sigmas.Length - 1);
        return _sigmas[below] + (timestep - below) * ((double)_sigmas[above] - _sigmas[below]);
    }

    /// <summary>The timestep of a noise level, linear in log σ between two timesteps, held at both ends.</summary>
    public double Timestep(double sigma)
    {
        var logSigma = Math.Log(Math.Max(sigma, 1e-10));
        var place = Array.FindLastIndex(_logSigmas, value => value <= logSigma);
        var low = Math.Clamp(place, 0, _logSigmas.Length - 2);
        var weight = Math.Clamp((_logSigmas[low] - logSigma) / ((double)_logSigmas[low] - _logSigmas[low + 1]), 0, 1);
        return (1 - weight) * low + weight * (low + 1);
    }

    /// <summary>The number of timesteps that are left when those with λ = −log σ below a bound are cut off at the noisy end.</summary>
    public int CountFrom(double leastLambda) => _logSigmas.Length - _logSigmas.Count(logSigma => -logSigma < leastLambda);
}
