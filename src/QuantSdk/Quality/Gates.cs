using System.Globalization;
using QuantSdk.Recipes;
using QuantSdk.Runtime;

namespace QuantSdk.Quality;

/// <summary>What a model must reach to be shipped.</summary>
internal static class Gates
{
    /// <param name="bytes">Of the engine.</param>
    /// <exception cref="QuantSdkException">QSDK5001 (SQNR) or QSDK5002 (cosine) for the worst output that misses its gate, QSDK5010 (size).</exception>
    public static void Check(Recipe recipe, IReadOnlyList<OutputQuality> quality, long bytes, string model)
    {
        if (bytes > recipe.MaxSize * 1e6)
            throw new QuantSdkException("QSDK5010", string.Create(CultureInfo.InvariantCulture, $"{recipe.Name}: the engine has {bytes / 1e6:0.###} MB; MaxSize is {recipe.MaxSize}. Quantise more (OptimizeFor=size, fewer ExcludeModules), choose a Precision of fewer bits, or raise MaxSize."), model);
        if (quality.MinBy(q => q.SqnrDb) is { } noisiest && noisiest.SqnrDb < recipe.MinSqnr)
            throw new QuantSdkException("QSDK5001", string.Create(CultureInfo.InvariantCulture, $"{recipe.Name}: the output '{noisiest.Output}' reaches an SQNR of {noisiest.SqnrDb:f1} dB; MinSqnr is {recipe.MinSqnr}. Calibrate on more or better data, exclude the most sensitive modules, or lower the gate."), model);
        if (quality.MinBy(q => q.Cosine) is { } least && least.Cosine < recipe.MinCosine)
            throw new QuantSdkException("QSDK5002", string.Create(CultureInfo.InvariantCulture, $"{recipe.Name}: the output '{least.Output}' reaches a cosine of {least.Cosine:f5}; MinCosine is {recipe.MinCosine}. Calibrate on more or better data, exclude the most sensitive modules, or lower the gate."), model);
    }
}
