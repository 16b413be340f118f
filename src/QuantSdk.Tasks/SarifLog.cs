using System.Text.Json;

namespace QuantSdk.Tasks;

/// <summary>The diagnostics of a <see cref="BuildReport"/> as SARIF 2.1.0, which code hosts and IDEs show beside the lines of a change.</summary>
internal static class SarifLog
{
    /// <param name="version">The version of QuantSdk.</param>
    /// <param name="root">Paths below it are written relative to it, as code hosts want them; others as file URIs.</param>
    public static byte[] Of(BuildReport report, string version, string root)
    {
        // A model that several frameworks share is one engine.
        var diagnostics = report.Models.SelectMany(m => m.LastRun?.Diagnostics ?? []).Distinct().ToList();
        using var stream = new MemoryStream();
        using (var json = new Utf8JsonWriter(stream, new JsonWriterOptions { Indented = true }))
        {
            json.WriteStartObject();
            json.WriteString("$schema", "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json");
            json.WriteString("version", "2.1.0");
            json.WriteStartArray("runs");
            json.WriteStartObject();
            WriteTool(json, version, diagnostics.Select(d => d.Code).Distinct().Order(StringComparer.Ordinal));
            json.WriteStartArray("results");
            foreach (var diagnostic in diagnostics) WriteResult(json, diagnostic, root);
            json.WriteEndArray();
            json.WriteEndObject();
            json.WriteEndArray();
            json.WriteEndObject();
        }
        return stream.ToArray();
    }

    private static void WriteTool(Utf8JsonWriter json, string version, IEnumerable<string> codes)
    {
        json.WriteStartObject("tool");
        json.WriteStartObject("driver");
        json.WriteString("name", "QuantSdk");
        json.WriteString("semanticVersion", version);
        json.WriteStartArray("rules");
        foreach (var code in codes)
        {
            json.WriteStartObject();
            json.WriteString("id", code);
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WriteEndObject();
        json.WriteEndObject();
    }

    private static void WriteResult(Utf8JsonWriter json, ModelDiagnostic diagnostic, string root)
    {
        json.WriteStartObject();
        json.WriteString("ruleId", diagnostic.Code);
        json.WriteString("level", diagnostic.Level);
        json.WriteStartObject("message");
        json.WriteString("text", diagnostic.Message);
        json.WriteEndObject();
        json.WriteStartArray("locations");
        json.WriteStartObject();
        json.WriteStartObject("physicalLocation");
        json.WriteStartObject("artifactLocation");
        json.WriteString("uri", UriOf(diagnostic.File, root));
        json.WriteEndObject();
        json.WriteEndObject();
        json.WriteEndObject();
        json.WriteEndArray();
        json.WriteEndObject();
    }

    private static string UriOf(string file, string root)
    {
        var relative = root.Length == 0 ? file : Path.GetRelativePath(root, file);
        return Path.IsPathRooted(relative) || relative.StartsWith("..", StringComparison.Ordinal)
            ? new Uri(file).AbsoluteUri
            : string.Join('/', relative.Split(Path.DirectorySeparatorChar).Select(Uri.EscapeDataString));
    }
}
