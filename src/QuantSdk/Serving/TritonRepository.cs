using System.Globalization;
using System.Text;
using QuantSdk.Onnx;
using QuantSdk.Runtime;

namespace QuantSdk.Serving;

/// <summary>
/// Writes a model repository of the Triton Inference Server from engine folders: REPOSITORY/NAME/config.pbtxt and REPOSITORY/NAME/VERSION/. The two parts of a
/// cached model are two models, NAME and NAME_live: whoever runs the loop hands the cached tensors of the first to the second.
/// </summary>
internal static class TritonRepository
{
    private const string ConfigFile = "config.pbtxt";

    /// <summary>Other versions of a model stay; what else lies in the repository is left alone.</summary>
    /// <param name="engines">Engine folders. Several of one name are one model, built for several GPUs.</param>
    /// <returns>What was written, in the order of <paramref name="engines"/>.</returns>
    /// <exception cref="QuantSdkException">
    /// QSDK4071 to 4078; 1004: a file cannot be written; and those of a manifest and its files, 7003 to 7007, 7060, 7061. Nothing is written where an engine is at fault.
    /// </exception>
    public static IReadOnlyList<TritonModel> Write(IReadOnlyList<string> engines, string repository, TritonOptions options, CancellationToken cancellation = default)
    {
        repository = Path.GetFullPath(repository);
        TritonLayout[] models = [.. engines.Select(folder => ServedEngine.Open(folder, options.Variant))
            .GroupBy(engine => engine.Manifest.Name, StringComparer.Ordinal).SelectMany(group => TritonLayout.Of([.. group], options))];
        if (models.GroupBy(m => m.Config.Name, StringComparer.OrdinalIgnoreCase).FirstOrDefault(g => g.Count() > 1) is { } clash)
            throw new QuantSdkException("QSDK4075", $"Two models would be '{clash.Key}' in '{repository}'. Give one of them another Name.", repository);
        foreach (var model in models)
        {
            cancellation.ThrowIfCancellationRequested();
            try
            {
                Write(model, Path.Combine(repository, model.Config.Name), options.ModelVersion.ToString(CultureInfo.InvariantCulture));
            }
            catch (Exception e) when (FileSystemError.Is(e))
            {
                throw new QuantSdkException("QSDK1004", $"Cannot write '{Path.Combine(repository, model.Config.Name)}': {FileSystemError.Reason(e)}", repository, inner: e);
            }
        }
        return [.. models.Select(m => new TritonModel(m.Config.Name, m.Config.Platform, m.Config.MaxBatchSize, m.Notes))];
    }

    /// <summary>A server that polls the repository sees the old version or the new one: files are written beside and renamed.</summary>
    private static void Write(TritonLayout model, string folder, string version)
    {
        var staging = Path.Combine(folder, $".{version}.{Guid.NewGuid().ToString("N")[..12]}.tmp");
        try
        {
            Directory.CreateDirectory(staging);
            foreach (var (name, source) in model.Files)
            {
                if (name == TritonLayout.Graph)
                    WriteGraph(source, Path.Combine(staging, name));
                else
                    File.Copy(source, Path.Combine(staging, name));
            }
            var config = Path.Combine(staging, ConfigFile);
            File.WriteAllText(config, TritonConfigText.Write(model.Config), new UTF8Encoding(encoderShouldEmitUTF8Identifier: false));
            var final = Path.Combine(folder, version);
            var ready = Path.Combine(folder, ConfigFile);
            File.Move(config, ready, overwrite: true);
            if (Directory.Exists(final))
                Directory.Move(final, staging + ".old");
            Directory.Move(staging, final);
        }
        finally
        {
            foreach (var left in (string[])[staging, staging + ".old"])
                if (Directory.Exists(left))
                    Directory.Delete(left, recursive: true);
        }
    }

    /// <summary>A file, or a folder of that name with the graph and its own weights, which a graph over a file shared with others would not have.</summary>
    private static void WriteGraph(string source, string target)
    {
        var model = OnnxFile.Load(source);
        if (model.ExternalFiles.Count == 0)
        {
            File.Copy(source, target);
            return;
        }
        Directory.CreateDirectory(target);
        OnnxFile.Save(model.Proto, Path.Combine(target, TritonLayout.Graph), Path.Combine(target, "model.data"));
    }
}
