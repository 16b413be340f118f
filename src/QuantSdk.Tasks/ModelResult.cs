using System.Text.Json;
using System.Text.Json.Serialization;

namespace QuantSdk.Tasks;

/// <summary>How the last run of a model went, for the report of the build. Kept in the state folder, so that a build that has nothing to do can tell it again.</summary>
/// <param name="Outcome">built, store (taken from the store) or failed.</param>
/// <param name="Key">The key of the engine in the store; null where the tool named none.</param>
/// <param name="Seconds">Wall time of the whole run.</param>
/// <param name="Phases">Wall time of each phase in seconds; `Start` is what went by before the first.</param>
/// <param name="Stages">What each of the tool's stages was: built, or taken from the store.</param>
internal sealed record ModelResult(
    string Outcome, string? Key, double Seconds, IReadOnlyDictionary<string, double> Phases, IReadOnlyDictionary<string, string>? Stages, string? Summary, IReadOnlyList<ModelDiagnostic> Diagnostics)
{
    public const string Built = "built", FromStore = "store", Failed = "failed";

    /// <summary>The result in a file, or null where there is none that can be read.</summary>
    public static ModelResult? Read(string path)
    {
        try
        {
            return JsonSerializer.Deserialize(File.ReadAllBytes(path), ReportJson.Default.ModelResult);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or JsonException)
        {
            return null;
        }
    }

    public byte[] ToJson() => JsonSerializer.SerializeToUtf8Bytes(this, ReportJson.Default.ModelResult);
}

/// <param name="Level">warning or error.</param>
internal sealed record ModelDiagnostic(string Level, string Code, string File, string Message);

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, WriteIndented = true, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(ModelResult))]
[JsonSerializable(typeof(BuildReport))]
internal sealed partial class ReportJson : JsonSerializerContext;
