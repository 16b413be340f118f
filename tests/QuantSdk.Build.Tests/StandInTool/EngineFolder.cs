using System.Text.Json;

namespace QuantSdk.StandInTool;

/// <summary>Writes the files that the metadata call for into a temporary folder and swaps it in, as the tool does.</summary>
internal sealed class EngineFolder
{
    private readonly string _output;
    private readonly string _temporary;
    private readonly string _content;
    private readonly JsonElement _metadata;
    private readonly string _auto;

    private EngineFolder(JsonElement request)
    {
        _output = request.GetProperty("output").GetString()!;
        _temporary = $"{_output}.{Guid.NewGuid():N}.tmp";
        _content = request.GetRawText();
        _metadata = request.GetProperty("metadata");
        _auto = request.GetProperty("trtExec").GetProperty("auto").GetString()!;
    }

    /// <summary>Writes the first file.</summary>
    public static EngineFolder Begin(JsonElement request)
    {
        var folder = new EngineFolder(request);
        folder.Write("manifest.json");
        return folder;
    }

    public void Complete(string forgotten)
    {
        var targets = Metadata("Targets", "auto").ToLowerInvariant().Split([';', ','], StringSplitOptions.TrimEntries).ToList();
        if (targets.Remove("auto")) targets.AddRange(_auto.Split(';'));
        var stripped = Metadata("StripWeights", "false").Equals("true", StringComparison.OrdinalIgnoreCase);
        var cached = !Metadata("Cache", "none").Equals("none", StringComparison.OrdinalIgnoreCase);
        var hoisted = Metadata("Hoist", "false").Equals("true", StringComparison.OrdinalIgnoreCase);
        if (targets.Contains("cpu"))
        {
            if (Metadata("Portable", "true") != "false") WriteModel("cpu", "", cached, hoisted);
            if (Metadata("Prepacked", "true") != "false") WriteModel("cpu", ".optimised", cached, hoisted);
        }
        if (targets.Contains("tensorrt-onnx") || (stripped && targets.Contains("tensorrt"))) WriteModel("tensorrt", "", cached);
        foreach (var part in targets.Contains("tensorrt") ? cached ? ["model", "live"] : new[] { "model" } : [])
        {
            Write($"tensorrt/{part}.context.onnx");
            Write($"tensorrt/{part}{(stripped ? ".stripped.engine" : ".plan")}");
        }
        if (forgotten.Length > 0) File.Delete(Path.Combine(_temporary, forgotten));
        if (Directory.Exists(_output)) Directory.Delete(_output, recursive: true);
        Directory.Move(_temporary, _output);
    }

    private string Metadata(string name, string otherwise) => _metadata.TryGetProperty(name, out var value) ? value.GetString()! : otherwise;

    private void WriteModel(string target, string form, bool cached, bool hoisted = false)
    {
        Write($"{target}/model{form}.onnx");
        Write($"{target}/model{form}.data");
        if (cached) Write($"{target}/live{form}.onnx");
        foreach (var head in hoisted ? new[] { "prompt", "timestep", "both" } : []) Write($"{target}/head.{head}{form}.onnx");
        foreach (var head in hoisted && cached ? new[] { "timestep", "both" } : []) Write($"{target}/head.{head}.full{form}.onnx");
    }

    private void Write(string path)
    {
        var file = Path.Combine(_temporary, path);
        Directory.CreateDirectory(Path.GetDirectoryName(file)!);
        File.WriteAllText(file, $"{path}\n{_content}");
    }
}
