namespace QuantSdk.Runtime;

/// <summary>Noise levels between two ends that replace a sampler's own.</summary>
/// <param name="Kind">Which rule.</param>
/// <param name="Least">The lowest level, or null for the sampler's own.</param>
/// <param name="Most">The highest level, or null for the sampler's own.</param>
internal sealed record SigmaSpacing(SigmaSpacing.Rule Kind, double? Least, double? Most)
{
    public enum Rule
    {
        Own,
        Karras,
        Exponential,
        Lu,
    }

    public static SigmaSpacing Read(SamplerConfig config, bool withLu = false, bool withEnds = false)
    {
        var (karras, exponential) = (config.Bool("use_karras_sigmas", false), config.Bool("use_exponential_sigmas", false));
        var lu = withLu && config.Bool("use_lu_lambdas", false);
        if (config.Bool("use_beta_sigmas", false))
            throw config.Unsupported("use_beta_sigmas", "Set it to false, or use use_karras_sigmas or use_exponential_sigmas.");
        if ((karras ? 1 : 0) + (exponential ? 1 : 0) + (lu ? 1 : 0) > 1)
            throw config.Unusable("Only one of 'use_karras_sigmas', 'use_exponential_sigmas', 'use_beta_sigmas' and 'use_lu_lambdas' can be true.");
        var (least, most) = withEnds ? (Positive("sigma_min"), Positive("sigma_max")) : (null, null);
        return new(karras ? Rule.Karras : exponential ? Rule.Exponential : lu ? Rule.Lu : Rule.Own, least, most);

        double? Positive(string key) => config.OptionalDouble(key) is not { } value ? null
            : double.IsFinite(value) && value > 0 ? value
            : throw config.Unusable($"'{key}' is {value}; a number above 0 is expected.");
    }

    /// <summary>The levels by this rule, the highest first.</summary>
    /// <param name="most">The sampler's own highest level.</param>
    /// <param name="least">The sampler's own lowest level.</param>
    public double[] Levels(double most, double least, int count) => Kind switch
    {
        Rule.Karras => Karras(Most ?? most, Least ?? least, count),
        Rule.Exponential or Rule.Lu => Exponential(Most ?? most, Least ?? least, count),
        _ => throw new InvalidOperationException("The sampler's own levels are not laid out here."),
    };

    /// <summary>Karras et al. 2022, equation 5, ρ = 7: evenly spaced in σ^(1/7).</summary>
    public static double[] Karras(double most, double least, int count)
    {
        const double Rho = 7;
        var (high, low) = (Math.Pow(most, 1 / Rho), Math.Pow(least, 1 / Rho));
        return Ramp(count, t => Math.Pow(high + t * (low - high), Rho));
    }

    /// <summary>Evenly spaced in log σ, which is also what Lu et al. 2022 do in λ.</summary>
    public static double[] Exponential(double most, double least, int count) =>
        Ramp(count, t => Math.Exp(Math.Log(most) + t * (Math.Log(least) - Math.Log(most))));

    private static double[] Ramp(int count, Func<double, double> at) =>
        [.. Enumerable.Range(0, count).Select(i => at(count == 1 ? 0 : (double)i / (count - 1)))];
}
