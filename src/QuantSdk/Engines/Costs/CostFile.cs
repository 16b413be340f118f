using System.Text.Json;
using QuantSdk.Planning;
using QuantSdk.Recipes;
using QuantSdk.Runtime;

namespace QuantSdk.Engines;

/// <summary>The NAME.costs.json that Costs names: an input of the build, like calibration data.</summary>
/// <param name="Text">As it was read; part of what the engine is a function of.</param>
internal sealed record CostFile(string Path, string Text, CostTable Table)
{
    /// <summary>Null where the recipe names none.</summary>
    /// <exception cref="QuantSdkException">QSDK4010 where the file cannot be read or holds no cost table.</exception>
    public static CostFile? Read(BuildRequest request, Recipe recipe, IBuildLog log)
    {
        if (recipe.Costs is null)
            return null;
        var path = System.IO.Path.GetFullPath(System.IO.Path.Combine(request.ProjectDirectory, recipe.Costs));
        CostTable? table;
        string text;
        try
        {
            text = File.ReadAllText(path);
            table = QuantSdkJson.Read<CostTable>(text);
        }
        catch (Exception e) when (e is JsonException || FileSystemError.Is(e))
        {
            throw new QuantSdkException("QSDK4010", $"{recipe.Name}: Costs='{recipe.Costs}': '{path}' cannot be read as a cost table: {(e is JsonException ? e.Message : FileSystemError.Reason(e))}. `quantsdk tune` writes one.", path, inner: e);
        }
        if (table is not { IsWhole: true })
            throw new QuantSdkException("QSDK4010", $"{recipe.Name}: Costs='{recipe.Costs}': '{path}' holds no whole cost table of schema 1. `quantsdk tune` writes one.", path);
        if (CpuClass.Of(CpuFeatures.Current) is var here && table.CpuClass != here)
            log.Warning("QSDK4011", $"{recipe.Name}: '{recipe.Costs}' was measured on a CPU of class {table.CpuClass}; this one is of class {here}. The engine is planned for the former.", path);
        return new CostFile(path, text, table);
    }
}
