namespace QuantSdk.Runtime;

/// <summary>Noise levels between two ends that replace a sampler's own.</summary>
internal static class SigmaSpacing
{
    /// <summary>Karras et al. 2022, equation 5, ρ = 7: evenly spaced in σ^(1/7).</summary>
    public static double[] Karras(double most, double least, int count)
    {
        const double Rho = 7;
        var (high, low) = (Math.Pow(most, 1 / Rho), Math.Pow(least, 1 / Rho));
        return Ramp(count, t => Math.Pow(high + t * (low - high), Rho));
    }

    /// <summary>Evenly spaced in log σ.</summary>
    public static double[] Exponential(double most, double least, int count) =>
        Ramp(count, t => Math.Exp(Math.Log(most) + t * (Math.Log(least) - Math.Log(most))));

    private static double[] Ramp(int count, Func<double, double> at) =>
        [.. Enumerable.Range(0, count).Select(i => at(count == 1 ? 0 : (double)i / (count - 1)))];
}
