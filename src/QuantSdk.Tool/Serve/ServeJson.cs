using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace QuantSdk.Tool.Serve;

/// <summary>The protocol's JSON, generated at compile time: nothing is reflected on at start-up.</summary>
[JsonSerializable(typeof(ServeRequest))]
[JsonSerializable(typeof(ServeAnswer))]
internal sealed partial class ServeJson : JsonSerializerContext
{
    /// <summary>Readable text in logs: whoever reads it is a JSON parser, not a web page.</summary>
    public static ServeJson Lines { get; } = new(new JsonSerializerOptions
    {
        PropertyNamingPolicy = JsonNamingPolicy.CamelCase,
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    });
}
