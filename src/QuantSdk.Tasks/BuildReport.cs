using System.Text.Json;

namespace QuantSdk.Tasks;

/// <summary>What builds did with the models of one or more projects: the file that the property QuantSdkBinaryReport names.</summary>
internal sealed record BuildReport(int Schema, IReadOnlyList<ReportedModel> Models)
{
    private const int CurrentSchema = 1;

    /// <summary>The report in a file; an empty one where there is none of this schema.</summary>
    public static BuildReport Read(string path)
    {
        try
        {
            return JsonSerializer.Deserialize(File.ReadAllBytes(path), ReportJson.Default.BuildReport) is { Schema: CurrentSchema, Models: not null } report ? report : Empty;
        }
        catch (Exception e) when (e is FileNotFoundException or JsonException)
        {
            return Empty;
        }
    }

    /// <summary>The report with the models of one project, built for one framework, in the place of what it said of them.</summary>
    public BuildReport With(string project, string targetFramework, IEnumerable<ReportedModel> models) => this with
    {
        Models = [.. Models.Where(m => m.Project != project || m.TargetFramework != targetFramework).Concat(models)
            .OrderBy(m => m.Project, StringComparer.Ordinal).ThenBy(m => m.TargetFramework, StringComparer.Ordinal).ThenBy(m => m.Name, StringComparer.Ordinal)],
    };

    public byte[] ToJson() => JsonSerializer.SerializeToUtf8Bytes(this, ReportJson.Default.BuildReport);

    private static BuildReport Empty => new(CurrentSchema, []);
}

/// <summary>One model in a <see cref="BuildReport"/>.</summary>
/// <param name="Project">Path of the project file.</param>
/// <param name="TargetFramework">Empty for a project without.</param>
/// <param name="Outcome">built, store, upToDate or failed.</param>
/// <param name="LastRun">The run that made the engine, or failed to: of this build, unless the outcome is upToDate.</param>
/// <param name="Gates">The item's limits, as it sets them.</param>
/// <param name="Quality">What was measured on the rows held out, as in the tool's own report.</param>
/// <param name="FloatBytes">Size of the model.</param>
/// <param name="EngineBytes">Size of the engine.</param>
internal sealed record ReportedModel(
    string Project, string TargetFramework, string Name, string Model, string Outcome, ModelResult? LastRun,
    IReadOnlyDictionary<string, string> Gates, JsonElement? Quality, JsonElement? FloatBytes, JsonElement? EngineBytes);
