using QuantSdk.Calibration;

namespace QuantSdk.Planning;

/// <summary>
/// SmoothQuant's migration of difficulty from activations to weights, one vector for all layers that read a tensor:
/// (x/f)·(f·W) = x·W, with f_c = a_c^α / w_c^(1−α) (Xiao et al. 2022, eq. 4). α is searched on the error that the two 8-bit grids
/// make at the layers' outputs, with rounding errors as independent uniform noise: steps Δ_x over the range of x/f and δ_o over the
/// output channels of f·W give
/// J(f) = Δ_x²/12 · Σ_c f_c²·‖W_c‖² + Σ_o δ_o²/12 · Σ_c E[x_c²]/f_c².
/// </summary>
internal static class Smoothing
{
    /// <summary>A vector must promise at least this share of the error away: the noise model is not better than that.</summary>
    private const double LeastGain = 0.05;

    private const float Widest = 1e4f;

    /// <param name="weightLevels">Positive codes of a weight: 127 for int8, 7 for int4.</param>
    /// <param name="alpha">One α for all, or null to search.</param>
    /// <returns>The factors f, whose geometric mean is 1, or null where doing nothing is best.</returns>
    public static float[]? Factors(ChannelSample sample, IReadOnlyList<InputWeights> readers, int weightLevels, float? alpha)
    {
        if (sample.Count == 0 || sample.Channels < 2)
            return null;
        // Exact extremes: a sample knows too little of what is rare.
        var (low, high) = (Array.ConvertAll(sample.Min, x => Math.Min(x, 0)), Array.ConvertAll(sample.Max, x => Math.Max(x, 0)));
        var meanSquare = MeanSquares(sample);
        var a = new float[sample.Channels];
        for (var c = 0; c < a.Length; c++)
            a[c] = Math.Max(-low[c], high[c]);
        var w = new float[sample.Channels];
        foreach (var reader in readers)
        {
            for (var o = 0; o < reader.Outputs; o++)
            {
                for (var c = 0; c < reader.InputsPerGroup; c++)
                {
                    ref var most = ref w[reader.FirstInput(o) + c];
                    most = Math.Max(most, reader.Largest[o * reader.InputsPerGroup + c]);
                }
            }
        }
        var none = Enumerable.Repeat(1f, a.Length).ToArray();
        var least = Error(none);
        float[]? best = null;
        foreach (var candidate in alpha is { } one ? [one] : Enumerable.Range(0, 11).Select(i => i / 10f))
        {
            foreach (var weighted in (bool[])[true, false])
            {
                var factors = Vector(a, w, candidate, weighted);
                var error = Error(factors);
                if (alpha is not null)
                    return factors;
                if (error < least * (best is null ? 1 - LeastGain : 1))
                    (best, least) = (factors, error);
            }
        }
        return best;

        double Error(float[] f)
        {
            float lowest = 0, highest = 0;
            for (var c = 0; c < f.Length; c++)
            {
                lowest = Math.Min(lowest, low[c] / f[c]);
                highest = Math.Max(highest, high[c] / f[c]);
            }
            var step = (highest - lowest) / 255.0;
            double activations = 0, weights = 0;
            foreach (var reader in readers)
            {
                for (var c = 0; c < f.Length; c++)
                    activations += (double)f[c] * f[c] * reader.Energy[c];
                for (var o = 0; o < reader.Outputs; o++)
                {
                    var first = reader.FirstInput(o);
                    double delta = 0, signal = 0;
                    for (var c = 0; c < reader.InputsPerGroup; c++)
                    {
                        delta = Math.Max(delta, reader.Largest[o * reader.InputsPerGroup + c] * f[first + c]);
                        signal += meanSquare[first + c] / ((double)f[first + c] * f[first + c]);
                    }
                    weights += delta / weightLevels * (delta / weightLevels) * signal * reader.Taps;
                }
            }
            return step * step * activations + weights;
        }
    }

    private static float[] Vector(float[] a, float[] w, float alpha, bool weighted)
    {
        var f = new float[a.Length];
        double logs = 0;
        var most = a.Max();
        for (var c = 0; c < f.Length; c++)
        {
            // A channel that is never active, or that nobody reads, goes with the rest.
            var activity = Math.Max(a[c], most / Widest);
            var weight = weighted && w[c] > 0 ? w[c] : 1;
            f[c] = MathF.Pow(activity, alpha) / MathF.Pow(weight, weighted ? 1 - alpha : 0);
            logs += Math.Log(f[c]);
        }
        var mean = (float)Math.Exp(logs / f.Length);
        for (var c = 0; c < f.Length; c++)
            f[c] = Math.Clamp(f[c] / mean, 1 / Widest, Widest);
        return f;
    }

    /// <summary>E[x²] of each channel.</summary>
    private static double[] MeanSquares(ChannelSample sample)
    {
        var squares = new double[sample.Channels];
        for (var i = 0; i < sample.Positions.Length; i++)
            squares[i % sample.Channels] += (double)sample.Positions[i] * sample.Positions[i] / sample.Count;
        return squares;
    }
}
