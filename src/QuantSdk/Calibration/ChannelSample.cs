
namespace QuantSdk.Calibration;

/// <summary>
/// What was seen of a tensor channel by channel: the exact extremes, and a sample of positions (pixels, tokens) with all their channels.
/// </summary>
/// <param name="Min">Per channel.</param>
/// <param name="Max">Per channel.</param>
/// <param name="Positions">[positions, channels], row-major.</param>
internal sealed record ChannelSample(int Channels, float[] Min, float[] Max, float[] Positions)
{
    public int Count => Channels == 0 ? 0 : Positions.Length / Channels;

    public ReadOnlySpan<float> Position(int index) => Positions.AsSpan(index * Channels, Channels);

    /// <summary>E[x] of each channel.</summary>
    public float[] Means()
    {
        var sums = new double[Channels];
        for (var i = 0; i < Positions.Length; i++)
            sums[i % Channels] += Positions[i];
        return Array.ConvertAll(sums, s => (float)(s / Math.Max(1, Count)));
    }

    /// <summary>The middle between the extremes of each channel.</summary>
    public float[] Centres() => [.. Min.Zip(Max, (low, high) => (low + high) / 2)];

    /// <summary>How (x − centre)/factor is distributed over all channels.</summary>
    /// <param name="weights">How often each channel counts, ≥ 1.</param>
    /// <param name="exact">Adds the exact extremes to the sample.</param>
    public Bf16Histogram Distribution(float[] factors, float[]? centres, int[] weights, bool exact)
    {
        var histogram = new Bf16Histogram();
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
            histogram.Add(values.AsSpan(0, length), group.Key);
        }
        if (!exact)
            return histogram;
        for (var c = 0; c < Channels; c++)
            histogram.Add([(Min[c] - (centres?[c] ?? 0)) / factors[c], (Max[c] - (centres?[c] ?? 0)) / factors[c]]);
        return histogram;
    }
}
