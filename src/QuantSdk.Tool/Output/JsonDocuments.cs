using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization.Metadata;

namespace QuantSdk.Tool.Output;

/// <summary>What --json prints: one document, a result or an error.</summary>
internal static class JsonDocuments
{
    /// <summary>The result's own members, and `warnings` where there were any.</summary>
    public static JsonObject Result<T>(T result, JsonTypeInfo<T> type, IReadOnlyList<BuildWarning> warnings)
    {
        var document = JsonSerializer.SerializeToNode(result, type)!.AsObject();
        if (warnings.Count > 0)
            document["warnings"] = new JsonArray([.. warnings.Select(w => new JsonObject { ["code"] = w.Code, ["message"] = w.Message, ["file"] = w.File })]);
        return document;
    }

    public static JsonObject Error(Failure failure) =>
        new() { ["error"] = new JsonObject { ["code"] = failure.Code, ["message"] = failure.Message, ["file"] = failure.File, ["node"] = failure.Node } };

    public static void Write(JsonObject document)
    {
        using var stream = Console.OpenStandardOutput();
        using (var writer = new Utf8JsonWriter(stream, new JsonWriterOptions { Indented = true, NewLine = "\n", Encoder = ToolJson.Readable.Options.Encoder }))
            document.WriteTo(writer);
        stream.Write("\n"u8);
    }
}
