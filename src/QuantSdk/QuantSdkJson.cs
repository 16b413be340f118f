using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;
using QuantSdk.Caching;
using QuantSdk.Calibration;
using QuantSdk.Engines;
using QuantSdk.Interchange;
using QuantSdk.Planning;
using QuantSdk.Recipes;
using QuantSdk.Runtime;

namespace QuantSdk;

/// <summary>The library's files as JSON: camelCase, indented, the same bytes for the same content.</summary>
[JsonSerializable(typeof(Recipe))]
[JsonSerializable(typeof(CalibrationTable))]
[JsonSerializable(typeof(Plan))]
[JsonSerializable(typeof(BuildReport))]
[JsonSerializable(typeof(Manifest))]
[JsonSerializable(typeof(PlannedModel))]
[JsonSerializable(typeof(BuiltEngine))]
[JsonSerializable(typeof(AmaxTable))]
[JsonSerializable(typeof(MeasuredModel))]
[JsonSerializable(typeof(IReadOnlyList<CutCandidate>))]
[JsonSerializable(typeof(CostTable))]
[JsonSerializable(typeof(IReadOnlyDictionary<string, QuantoModule>))]
internal sealed partial class QuantSdkJson : JsonSerializerContext
{
    private static readonly QuantSdkJson Readable = new(new JsonSerializerOptions
    {
        PropertyNamingPolicy = JsonNamingPolicy.CamelCase,
        WriteIndented = true,
        NewLine = "\n",
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    });

    public static string Write<T>(T value) => JsonSerializer.Serialize(value, (JsonTypeInfo<T>)Readable.GetTypeInfo(typeof(T))!);

    public static T? Read<T>(string json) => JsonSerializer.Deserialize(json, (JsonTypeInfo<T>)Readable.GetTypeInfo(typeof(T))!);
}
