namespace QuantSdk.Planning;

/// <summary>
/// How much of the difference between channels' extremes is chance. The largest of n values of an exponential tail is about b·ln n with a standard
/// deviation of b·π/√6 (Gumbel), so that its logarithm has one of about π/√6 / ln n. What channels differ by beyond that is theirs; the rest
/// would only narrow ranges that the next data exceeds.
/// </summary>
internal static class ExtremeNoise
{
    /// <summary>The share of the logarithms' variance that is noise (James and Stein 1961): 0 where extremes can be trusted, 1 where channels do not differ.</summary>
    /// <param name="amax">Per channel.</param>
    /// <param name="seen">Values of each channel.</param>
    public static double Share(IReadOnlyList<float> amax, long seen)
    {
        var logs = amax.Where(a => a > 0).Select(a => Math.Log(a)).ToArray();
        if (logs.Length < 2)
            return 1;
        var mean = logs.Average();
        var variance = logs.Sum(l => (l - mean) * (l - mean)) / (logs.Length - 1);
        var noise = Math.PI / Math.Sqrt(6) / Math.Log(Math.Max(3, seen));
        return variance <= 0 ? 1 : Math.Min(1, noise * noise / variance);
    }
}
