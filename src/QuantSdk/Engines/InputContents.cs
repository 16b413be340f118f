using QuantSdk.Onnx;
using QuantSdk.Recipes;
using QuantSdk.Runtime;
using QuantSdk.Store;

namespace QuantSdk.Engines;

/// <summary>What is in the files that a recipe and its request name: hashes, so that a key is the same wherever the files are.</summary>
/// <param name="External">Absolute paths of the models' external data.</param>
/// <param name="Conditioner">The model of ConditionedBy.</param>
internal sealed record InputContents(string Model, string? Conditioner, string Calibration, string Validation, string? Scheduler, string? Costs, IReadOnlyList<string> External, string Plugins = "")
{
    /// <summary>Null where a file cannot be read: the stage that needs it says so in its own words.</summary>
    public static InputContents? Read(BuildRequest request, Recipe recipe, ModelStore store, CancellationToken cancellation)
    {
        var external = new List<string>();
        try
        {
            return new InputContents(
                OfModel(request.Model), request.ConditionedBy is null ? null : OfModel(request.ConditionedBy), OfData(recipe.CalibrationData), OfData(recipe.ValidationData),
                recipe.Scheduler is null ? null : OfFile(recipe.Scheduler), recipe.Costs is null ? null : OfFile(recipe.Costs), external, OfData(recipe.TensorRt?.Plugins ?? []));
        }
        catch (Exception e) when (e is QuantSdkException or EndOfStreamException || FileSystemError.Is(e))
        {
            return null;
        }

        string OfFile(string path) => TreeHash.OfFile(Path.GetFullPath(path, request.ProjectDirectory), cancellation);

        string OfData(IReadOnlyList<string> files) => string.Join('\n', files.Select(f => f == "random" ? f : Path.GetExtension(f).ToLowerInvariant() + OfFile(f)));

        // What a file names as external data follows from its content: nothing is parsed to know it a second time.
        string OfModel(string path)
        {
            var hash = TreeHash.OfFile(path, cancellation);
            var key = StoreKey.Of("externals", BuildPlatform.Tool, hash);
            var folder = Path.GetDirectoryName(path)!;
            var names = store.Read(key, hit => hit.Value("files").Split('\n', StringSplitOptions.RemoveEmptyEntries));
            if (names is null)
            {
                names = [.. OnnxFile.LoadHeaders(path).ExternalFiles.Select(f => Path.GetRelativePath(folder, f))];
                store.Add(key, "externals", Path.GetFileNameWithoutExtension(path), new Dictionary<string, string> { ["files"] = string.Join('\n', names) }, [], []);
            }
            string[] files = [.. names.Select(n => Path.GetFullPath(n, folder))];
            external.AddRange(files);
            return string.Join('\n', [hash, .. files.Length == 0 ? [] : TreeHash.OfFiles(files, request.Threads, cancellation)]);
        }
    }
}
