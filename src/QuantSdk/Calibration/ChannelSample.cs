using System.Numerics.Tensors;

namespace QuantSdk.Calibration;

/// <summary>
/// What was seen of a tensor channel by channel: the exact extremes, and a sample of positions (pixels, tokens) with all their channels.
/// </summary>
/// <param name="Min">Per channel.</param>
/// <param name="Max">Per channel.</param>
/// <param name="Positions">[positions, channels], row-major.</param>
/// <param name="Seen">Positions that the sample was drawn from.</param>
internal sealed record ChannelSample(int Channels, float[] Min, float[] Max, float[] Positions, long Seen)
{
    public int Count => Channels == 0 ? 0 : Positions.Length / Channels;

    /// <summary>True where the sample is nearly all there was: the next data will exceed the extremes.</summary>
    public bool Few => Seen <= 8L * Count;

    public ReadOnlySpan<float> Position(int index) => Positions.AsSpan(index * Channels, Channels);

    /// <summary>E[x] of each channel.</summary>
    public float[] Means()
    {
        var sums = new double[Channels];
        for (var i = 0; i < Positions.Length; i++)
            sums[i % Channels] += Positions[i];
        return Array.ConvertAll(sums, s => (float)(s / Math.Max(1, Count)));
    }

    /// <summary>
    /// The middle between the extremes of each channel, less what is chance in it (James and Stein 1961, positive part): for exponential tails the
    /// middle of n values has a standard deviation of about π/√12 · amax / ln n.
    /// </summary>
    public float[] Centres() =>
    [.. Min.Zip(Max, (low, high) =>
    {
        var (centre, noise) = ((low + high) / 2, Math.PI / Math.Sqrt(12) * Math.Max(-low, high) / Math.Log(Math.Max(3, Seen)));
        return centre == 0 ? 0 : (float)(centre * Math.Max(0, 1 - noise * noise / ((double)centre * centre)));
    })];

    /// <summary>Every other position, from <paramref name="first"/> on, as a sample of its own.</summary>
    public ChannelSample Half(int first)
    {
        var positions = Enumerable.Range(0, Count).Where(p => p % 2 == first).SelectMany(p => Position(p).ToArray()).ToArray();
        var half = this with { Positions = positions, Seen = positions.Length / Channels };
        var (low, high) = half.SampleExtremes();
        return half with { Min = low, Max = high };
    }

    /// <summary>How (x − centre)/factor is distributed over all channels.</summary>
    /// <param name="weights">How often each channel counts, ≥ 1.</param>
    public Bf16Histogram Distribution(float[] factors, float[]? centres, int[] weights)
    {
        var histogram = new Bf16Histogram();
        var share = (int)Math.Clamp(Math.Round((double)Seen / Math.Max(1, Count)), 1, 1 << 20);
        var values = new float[Positions.Length];
        // Channels that count alike go in together.
        foreach (var group in Enumerable.Range(0, Channels).GroupBy(c => weights[c]))
        {
            var length = 0;
            foreach (var c in group)
            {
                for (var i = c; i < Positions.Length; i += Channels)
                    values[length++] = (Positions[i] - (centres?[c] ?? 0)) / factors[c];
            }
            histogram.Add(values.AsSpan(0, length), group.Key * share);
        }
        var (low, high) = SampleExtremes();
        for (var c = 0; c < Channels; c++)
        {
            foreach (var (value, count) in Tail(high[c], Max[c]).Concat(Tail(low[c], Min[c])))
                histogram.Add([(value - (centres?[c] ?? 0)) / factors[c]], weights[c] * count);
        }
        return histogram;
    }

    /// <summary>Per channel: the extremes of the sample.</summary>
    public (float[] Low, float[] High) SampleExtremes()
    {
        var (low, high) = ((float[])Min.Clone(), (float[])Max.Clone());
        for (var p = 0; p < Count; p++)
        {
            var position = Position(p);
            if (p == 0)
            {
                position.CopyTo(low);
                position.CopyTo(high);
                continue;
            }
            TensorPrimitives.MinNumber(low, position, low);
            TensorPrimitives.MaxNumber(high, position, high);
        }
        return (low, high);
    }

    /// <summary>
    /// What a sample of one in r misses beyond its own extreme: about r values. The outermost is known; the others are laid between the two
    /// as an exponential tail would, a step further in for every doubling of the rank.
    /// </summary>
    private IEnumerable<(float Value, int Count)> Tail(float sampled, float exact)
    {
        var doublings = Math.Min(20, (int)Math.Floor(Math.Log2(Math.Max(1, (double)Seen / Math.Max(1, Count)))));
        if (sampled.Equals(exact))
            yield break;
        for (var j = 0; j < Math.Max(1, doublings); j++)
            yield return (exact - (exact - sampled) * j / Math.Max(1, doublings), 1 << j);
    }
}
