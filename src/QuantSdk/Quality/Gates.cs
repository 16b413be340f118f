using System.Globalization;
using QuantSdk.Recipes;
using QuantSdk.Runtime;

namespace QuantSdk.Quality;

/// <summary>What a model must reach to be shipped.</summary>
internal static class Gates
{
    /// <param name="bytes">Of the engine.</param>
    /// <param name="cached">Along cached loops, or null.</param>
    /// <exception cref="QuantSdkException">QSDK5001 (SQNR) or QSDK5002 (cosine) for the worst output that misses its gate, QSDK5010 (size).</exception>
    public static void Check(Recipe recipe, IReadOnlyList<OutputQuality> quality, long bytes, string model, IReadOnlyList<OutputQuality>? cached = null)
    {
        if (bytes > recipe.MaxSize * 1e6)
            throw new QuantSdkException("QSDK5010", string.Create(CultureInfo.InvariantCulture, $"{recipe.Name}: the engine has {bytes / 1e6:0.###} MB; MaxSize is {recipe.MaxSize}. Quantise more (OptimizeFor=size, fewer ExcludeModules), choose a Precision of fewer bits, or raise MaxSize."), model);
        Check(recipe, quality, "", "Calibrate on more or better data, exclude the most sensitive modules, or lower the gate.", model);
        Check(recipe, cached ?? [], " with every third step full", "Cut so that more of the model runs at every step (CacheQuality of Cache=auto), quantise less, or lower the gate.", model);
    }

    private static void Check(Recipe recipe, IReadOnlyList<OutputQuality> quality, string where, string advice, string model)
    {
        if (quality.MinBy(q => q.SqnrDb) is { } noisiest && noisiest.SqnrDb < recipe.MinSqnr)
            throw new QuantSdkException("QSDK5001", string.Create(CultureInfo.InvariantCulture, $"{recipe.Name}: the output '{noisiest.Output}' reaches an SQNR of {noisiest.SqnrDb:f1} dB{where}; MinSqnr is {recipe.MinSqnr}. {advice}"), model);
        if (quality.MinBy(q => q.Cosine) is { } least && least.Cosine < recipe.MinCosine)
            throw new QuantSdkException("QSDK5002", string.Create(CultureInfo.InvariantCulture, $"{recipe.Name}: the output '{least.Output}' reaches a cosine of {least.Cosine:f5}{where}; MinCosine is {recipe.MinCosine}. {advice}"), model);
    }
}
