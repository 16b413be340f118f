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

    /// <summary>Positions of one row are alike, so that halves of few rows are not quite strangers.</summary>
    private const double LeastGainOfFew = 0.3;

    private const float Widest = 1e4f;

    /// <param name="weightLevels">Positive codes of a weight: 127 for int8, 7 for int4.</param>
    /// <param name="alpha">One α for all, or null to search.</param>
    /// <returns>The factors f, whose geometric mean is 1, or null where doing nothing is best.</returns>
    public static float[]? Factors(ChannelSample sample, IReadOnlyList<InputWeights> readers, int weightLevels, float? alpha)
    {
        if (sample.Count == 0 || sample.Channels < 2)
            return null;
        var none = Enumerable.Repeat(1f, sample.Channels).ToArray();
        var whole = new Observed(sample, measured: alpha is not null);
        var w = Largest(sample.Channels, readers);
        if (alpha is { } one)
            return Vector(whole.Amax(), w, one, weighted: true);
        var best = Search(whole);
        return best is not null && (!sample.Few || Holds()) ? best : null;

        float[]? Search(Observed observed)
        {
            var a = observed.Amax();
            var least = Noise(none, observed);
            float[]? found = null;
            foreach (var candidate in Enumerable.Range(0, 11).Select(i => i / 10f))
            {
                foreach (var weighted in (bool[])[true, false])
                {
                    var factors = Vector(a, w, candidate, weighted);
                    var error = Noise(factors, observed);
                    if (error < least * (found is null ? 1 - LeastGain : 1))
                        (found, least) = (factors, error);
                }
            }
            return found;
        }

        // Where the sample is nearly all there was: what one half recommends must help the other.
        bool Holds()
        {
            double with = 0, without = 0;
            foreach (var (fit, judge) in (ReadOnlySpan<(int, int)>)[(0, 1), (1, 0)])
            {
                var half = new Observed(sample.Half(fit), measured: false);
                var factors = Search(half) ?? none;
                with += Clipping(factors, sample.Half(fit), sample.Half(judge)) + WeightNoise(factors, half);
                without += Clipping(none, sample.Half(fit), sample.Half(judge)) + WeightNoise(none, half);
            }
            return with < without * (1 - LeastGainOfFew);
        }

        double Noise(float[] f, Observed observed)
        {
            float lowest = 0, highest = 0;
            for (var c = 0; c < f.Length; c++)
            {
                lowest = Math.Min(lowest, observed.Low[c] / f[c]);
                highest = Math.Max(highest, observed.High[c] / f[c]);
            }
            var step = (highest - lowest) / 255.0;
            double activations = 0;
            foreach (var reader in readers)
            {
                for (var c = 0; c < f.Length; c++)
                    activations += (double)f[c] * f[c] * reader.Energy[c];
            }
            return step * step * activations + WeightNoise(f, observed);
        }

        double WeightNoise(float[] f, Observed observed)
        {
            double weights = 0;
            foreach (var reader in readers)
            {
                for (var o = 0; o < reader.Outputs; o++)
                {
                    var first = reader.FirstInput(o);
                    double delta = 0, signal = 0;
                    for (var c = 0; c < reader.InputsPerGroup; c++)
                    {
                        delta = Math.Max(delta, reader.Largest[o * reader.InputsPerGroup + c] * f[first + c]);
                        signal += observed.MeanSquare[first + c] / ((double)f[first + c] * f[first + c]);
                    }
                    weights += delta / weightLevels * (delta / weightLevels) * signal * reader.Taps;
                }
            }
            return weights;
        }

        // 12·Σ (Q(x) − x)² at the readers' outputs, a mean over positions: on the grid of one part, of the values of another.
        double Clipping(float[] f, ChannelSample fit, ChannelSample judge)
        {
            float lowest = 0, highest = 0;
            for (var c = 0; c < f.Length; c++)
                (lowest, highest) = (Math.Min(lowest, fit.Min[c] / f[c]), Math.Max(highest, fit.Max[c] / f[c]));
            var step = (highest - lowest) / 255;
            if (step <= 0)
                return 0;
            var energy = f.Select((x, c) => (double)x * x * readers.Sum(r => r.Energy[c])).ToArray();
            double error = 0;
            for (var p = 0; p < judge.Count; p++)
            {
                var position = judge.Position(p);
                for (var c = 0; c < f.Length; c++)
                {
                    var y = position[c] / f[c];
                    var beyond = Math.Max(0, Math.Max(y - highest, lowest - y));
                    error += energy[c] * ((double)step * step + 12.0 * beyond * beyond);
                }
            }
            return error / judge.Count;
        }
    }

    /// <summary>Per input channel, the largest weight of all readers.</summary>
    private static float[] Largest(int channels, IReadOnlyList<InputWeights> readers)
    {
        var w = new float[channels];
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
        return w;
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

    /// <summary>What the noise model needs of a sample.</summary>
    private sealed class Observed
    {
        /// <param name="measured">Extremes as they were measured: who gives one α asks for the paper's formula.</param>
        public Observed(ChannelSample sample, bool measured)
        {
            (Low, High) = (Array.ConvertAll(sample.Min, x => Math.Min(x, 0)), Array.ConvertAll(sample.Max, x => Math.Max(x, 0)));
            for (var i = 0; i < sample.Positions.Length; i++)
                (MeanSquare ??= new double[sample.Channels])[i % sample.Channels] += (double)sample.Positions[i] * sample.Positions[i] / sample.Count;
            MeanSquare ??= new double[sample.Channels];
            var amax = Amax();
            var noise = measured ? 0 : ExtremeNoise.Share(amax, sample.Seen);
            var mean = Math.Exp(amax.Where(a => a > 0).Select(a => Math.Log(a)).DefaultIfEmpty(0).Average());
            for (var c = 0; c < amax.Length; c++)
            {
                var factor = amax[c] > 0 ? (float)Math.Pow(mean / amax[c], noise) : 1;
                (Low[c], High[c]) = (Low[c] * factor, High[c] * factor);
            }
        }

        /// <summary>
        /// Per channel, 0 included. Exact ones: a sample knows too little of what is rare. What is chance in their differences is taken
        /// out: each goes towards the geometric mean.
        /// </summary>
        public float[] Low { get; }

        public float[] High { get; }

        /// <summary>E[x²] of each channel.</summary>
        public double[] MeanSquare { get; }

        public float[] Amax() => [.. Low.Zip(High, (l, h) => Math.Max(-l, h))];
    }
}
