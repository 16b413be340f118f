using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using QuantSdk.Engines;
using QuantSdk.Tool.Commands;

namespace QuantSdk.Tool.Output;

/// <summary>The results of the commands as JSON.</summary>
[JsonSerializable(typeof(InspectResult))]
[JsonSerializable(typeof(CalibrateResult))]
[JsonSerializable(typeof(TuneResult))]
[JsonSerializable(typeof(QuantizeResult))]
[JsonSerializable(typeof(EngineResult))]
[JsonSerializable(typeof(ExportResult))]
[JsonSerializable(typeof(CompareResult))]
[JsonSerializable(typeof(SensitivityResult))]
[JsonSerializable(typeof(CutResult))]
[JsonSerializable(typeof(CheckResult))]
[JsonSerializable(typeof(BuildReport))]
[JsonSerializable(typeof(TrtExecResult))]
[JsonSerializable(typeof(StoreListing))]
[JsonSerializable(typeof(StorePruning))]
[JsonSerializable(typeof(StoreVerification))]
[JsonSerializable(typeof(TritonResult))]
internal sealed partial class ToolJson : JsonSerializerContext
{
    public static ToolJson Readable { get; } = new(new JsonSerializerOptions
    {
        PropertyNamingPolicy = JsonNamingPolicy.CamelCase,
        WriteIndented = true,
        NewLine = "\n",
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    });
}
