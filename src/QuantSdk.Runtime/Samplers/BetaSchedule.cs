namespace QuantSdk.Runtime;

/// <summary>
/// The noise schedule that a model was trained with: ᾱ_t = Π (1 − β_i). Betas are rounded to float where PyTorch rounds them and
/// multiplied up in double, as its cumprod does, so that ᾱ is that of diffusers to the last bit.
/// </summary>
internal static class BetaSchedule
{
    private const string Linear = "linear", ScaledLinear = "scaled_linear", SquaredCos = "squaredcos_cap_v2";

    /// <summary>Reads trained_betas, beta_schedule, beta_start, beta_end and rescale_betas_zero_snr; returns ᾱ for each training timestep.</summary>
    public static float[] AlphasCumprod(SamplerConfig config, int trainTimesteps, double betaStart = 0.0001, double betaEnd = 0.02, string schedule = Linear, bool knowsZeroSnr = true)
    {
        var betas = Betas(config, trainTimesteps, betaStart, betaEnd, schedule);
        return CumulativeProduct(knowsZeroSnr && config.Bool("rescale_betas_zero_snr", false) ? ZeroTerminalSnr(betas) : betas);
    }

    private static float[] Betas(SamplerConfig config, int count, double betaStart, double betaEnd, string fallback)
    {
        var schedule = config.Choice("beta_schedule", fallback, Linear, ScaledLinear, SquaredCos);
        if (config.OptionalFloats("trained_betas") is { } trained)
            return trained.Length == count ? trained
                : throw config.Unusable($"'trained_betas' holds {trained.Length} numbers, 'num_train_timesteps' is {count}; they must agree.");
        var start = config.Double("beta_start", betaStart);
        var end = config.Double("beta_end", betaEnd);
        return schedule switch
        {
            Linear => LinSpace(start, end, count),
            ScaledLinear => Array.ConvertAll(LinSpace(Math.Sqrt(start), Math.Sqrt(end), count), root => root * root),
            _ => [.. Enumerable.Range(0, count).Select(i => (float)Math.Min(1 - CosineBar((i + 1.0) / count) / CosineBar((double)i / count), 0.999))],
        };
    }

    /// <summary>ᾱ(t) of the cosine schedule, up to a factor.</summary>
    private static double CosineBar(double t)
    {
        var cosine = Math.Cos((t + 0.008) / 1.008 * Math.PI / 2);
        return cosine * cosine;
    }

    /// <summary>From both ends towards the middle in float with fused multiply-add, as torch.linspace does.</summary>
    private static float[] LinSpace(double start, double end, int count)
    {
        var (first, last) = ((float)start, (float)end);
        var step = count > 1 ? (last - first) / (count - 1) : 0f;
        var values = new float[count];
        for (var i = 0; i < count; i++)
            values[i] = i < count / 2 ? MathF.FusedMultiplyAdd(step, i, first) : MathF.FusedMultiplyAdd(-step, count - 1 - i, last);
        return values;
    }

    private static float[] CumulativeProduct(float[] betas)
    {
        var product = 1.0;
        return Array.ConvertAll(betas, beta => (float)(product *= 1f - beta));
    }

    /// <summary>Shifts and stretches √ᾱ so that the last timestep holds no signal (Lin et al. 2023, algorithm 1).</summary>
    private static float[] ZeroTerminalSnr(float[] betas)
    {
        var roots = Array.ConvertAll(CumulativeProduct(betas), TorchMath.Sqrt);
        var (first, last) = (roots[0], roots[^1]);
        var bars = Array.ConvertAll(roots, root => (root - last) * (first / (first - last)) is var shifted ? shifted * shifted : 0f);
        var rescaled = new float[bars.Length];
        for (var i = 0; i < bars.Length; i++)
            rescaled[i] = 1f - (i == 0 ? bars[0] : bars[i] / bars[i - 1]);
        return rescaled;
    }
}
