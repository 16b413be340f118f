using System.Globalization;
using QuantSdk.Recipes;
using QuantSdk.Runtime;

namespace QuantSdk.Quality;

/// <summary>What a model must reach to be shipped.</summary>
internal static class Gates
{
    /// <summary>The first gate that a model misses, or null.</summary>
    /// <param name="bytes">Of the engine.</param>
    /// <param name="cached">Along cached loops, or null.</param>
    /// <param name="speedup">Null where it was not measured.</param>
    /// <returns>QSDK5010 (size), QSDK5001 (SQNR) or QSDK5002 (cosine) for the worst output that misses its gate, QSDK5020 (speed).</returns>
    public static QuantSdkException? Missed(Recipe recipe, IReadOnlyList<OutputQuality> quality, long bytes, string model, IReadOnlyList<OutputQuality>? cached = null, Speedup? speedup = null)
    {
        if (bytes > recipe.MaxSize * 1e6)
            return new QuantSdkException("QSDK5010", string.Create(CultureInfo.InvariantCulture, $"{recipe.Name}: the engine has {bytes / 1e6:0.###} MB; MaxSize is {recipe.MaxSize}. Quantise more (OptimizeFor=size, fewer ExcludeModules), choose a Precision of fewer bits, or raise MaxSize."), model);
        // The whole interval is below: a run that other programs disturbed is no reason to fail.
        if (speedup is not null && speedup.High < recipe.MinSpeedup)
            return new QuantSdkException("QSDK5020", string.Create(CultureInfo.InvariantCulture, $"{recipe.Name}: the engine is {speedup.Median:0.00} times as fast as the float model on this machine (95 % interval {speedup.Low:0.00} to {speedup.High:0.00}, {speedup.Pairs} pairs of runs); MinSpeedup is {recipe.MinSpeedup}. Let `quantsdk tune` measure this machine (Costs), try Cache for a denoiser, or lower the gate."), model);
        return Missed(recipe, quality, "", "Calibrate on more or better data, exclude the most sensitive modules, or lower the gate.", model)
            ?? Missed(recipe, cached ?? [], " with every third step full", "Cut so that more of the model runs at every step (CacheQuality of Cache=auto), quantise less, or lower the gate.", model);
    }

    private static QuantSdkException? Missed(Recipe recipe, IReadOnlyList<OutputQuality> quality, string where, string advice, string model)
    {
        if (quality.MinBy(q => q.SqnrDb) is { } noisiest && noisiest.SqnrDb < recipe.MinSqnr)
            return new QuantSdkException("QSDK5001", string.Create(CultureInfo.InvariantCulture, $"{recipe.Name}: the output '{noisiest.Output}' reaches an SQNR of {noisiest.SqnrDb:f1} dB{where}; MinSqnr is {recipe.MinSqnr}. {advice}"), model);
        if (quality.MinBy(q => q.Cosine) is { } least && least.Cosine < recipe.MinCosine)
            return new QuantSdkException("QSDK5002", string.Create(CultureInfo.InvariantCulture, $"{recipe.Name}: the output '{least.Output}' reaches a cosine of {least.Cosine:f5}{where}; MinCosine is {recipe.MinCosine}. {advice}"), model);
        return null;
    }
}
