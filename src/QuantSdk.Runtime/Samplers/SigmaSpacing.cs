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
        Beta,
        Lu,
    }

    public static SigmaSpacing Read(SamplerConfig config, bool withLu = false, bool withEnds = false)
    {
        var rules = new List<Rule>();
        Ask("use_karras_sigmas", Rule.Karras);
        Ask("use_exponential_sigmas", Rule.Exponential);
        Ask("use_beta_sigmas", Rule.Beta);
        if (withLu)
            Ask("use_lu_lambdas", Rule.Lu);
        if (rules.Count > 1)
            throw config.Unusable("Only one of 'use_karras_sigmas', 'use_exponential_sigmas', 'use_beta_sigmas' and 'use_lu_lambdas' can be true.");
        var (least, most) = withEnds ? (Positive("sigma_min"), Positive("sigma_max")) : (null, null);
        return new(rules is [var rule] ? rule : Rule.Own, least, most);

        void Ask(string key, Rule rule)
        {
            if (config.Bool(key, false))
                rules.Add(rule);
        }

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
        Rule.Beta => Beta(Most ?? most, Least ?? least, count),
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

    /// <summary>Lee et al. 2024: quantiles of the distribution Beta(0.6, 0.6), many at both ends.</summary>
    private static double[] Beta(double most, double least, int count) => Ramp(count, t => least + BetaQuantile(1 - t) * (most - least));

    /// <summary>By bisection; the distribution is symmetric about one half.</summary>
    private static double BetaQuantile(double probability)
    {
        if (probability > 0.5)
            return 1 - BetaQuantile(1 - probability);
        var (low, high) = (0.0, 0.5);
        var wanted = probability * 2 * BetaIntegral(0.5);
        for (var i = 0; i < 60; i++)
            (low, high) = (low + high) / 2 is var middle && BetaIntegral(middle) < wanted ? (middle, high) : (low, middle);
        return probability == 0 ? 0 : (low + high) / 2;
    }

    /// <summary>∫₀ˣ (t(1−t))^(α−1) dt for x up to one half, by the binomial series of (1−t)^(α−1).</summary>
    private static double BetaIntegral(double x)
    {
        const double Alpha = 0.6;
        var (sum, coefficient, power) = (0.0, 1.0, Math.Pow(x, Alpha));
        for (var n = 0; n < 60; n++)
        {
            sum += coefficient * power / (Alpha + n);
            coefficient *= (n + 1 - Alpha) / (n + 1);
            power *= x;
        }
        return sum;
    }

    private static double[] Ramp(int count, Func<double, double> at) =>
        [.. Enumerable.Range(0, count).Select(i => at(count == 1 ? 0 : (double)i / (count - 1)))];
}
