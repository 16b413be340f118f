namespace QuantSdk.Runtime;

/// <summary>The files that one model of a variant needs, with its live part and its heads where it has them: where they are and whether they are what the manifest says.</summary>
internal sealed class EngineFiles
{
    private readonly IReadOnlyList<(EngineFile File, string Path)> _files;

    private EngineFiles(string manifestFile, string model, string? live, IReadOnlyList<string> heads, IReadOnlyList<(EngineFile, string)> files) =>
        (ManifestFile, ModelPath, LivePath, HeadPaths, _files) = (manifestFile, model, live, heads, files);

    /// <summary>The manifest, for messages.</summary>
    public string ManifestFile { get; }

    /// <summary>The full path of the graph.</summary>
    public string ModelPath { get; }

    /// <summary>The full path of the live part's graph, or null.</summary>
    public string? LivePath { get; }

    /// <summary>The full paths of the heads' graphs, in the manifest's order.</summary>
    public IReadOnlyList<string> HeadPaths { get; }

    /// <summary>
    /// Resolves the paths and compares the sizes. The variant's other model (optimised or portable) is left out: it is not read,
    /// and an app may have dropped it.
    /// </summary>
    public static EngineFiles Locate(string directory, string manifestFile, EngineVariant variant, string model)
    {
        var live = model == variant.Model ? variant.Cache?.Live : variant.Cache?.Optimised?.Model;
        var heads = variant.Heads ?? [];
        // Without its optimised form the path of the portable one says what is absent.
        string[] chosen = [.. heads.Select(head => model == variant.Model ? head.Model : head.Optimised?.Model ?? head.Model)];
        string?[] all = [variant.Model, variant.Optimised?.Model, variant.Cache?.Live, variant.Cache?.Optimised?.Model, .. heads.SelectMany(head => (string?[])[head.Model, head.Optimised?.Model])];
        // A path that leaves the folder is refused even in a file that is not needed now.
        foreach (var path in variant.Files.Select(file => file.Path).Concat(all.OfType<string>()))
            _ = Confine(directory, manifestFile, path);
        if (((string?[])[model, live, .. chosen]).FirstOrDefault(path => path is not null && variant.Files.All(file => file.Path != path)) is { } absent)
            throw new QuantSdkException("QSDK7003", $"The manifest '{manifestFile}' cannot be used: the model '{absent}' is not among the files of the variant '{variant.Target}'. Build the model again.", manifestFile);
        string[] others = [.. all.OfType<string>().Where(path => path != model && path != live && !chosen.Contains(path)).Select(Stem)];
        var needed = new List<(EngineFile, string)>();
        foreach (var file in variant.Files.Where(file => !others.Contains(Stem(file.Path))))
        {
            var path = Confine(directory, manifestFile, file.Path);
            var info = new FileInfo(path);
            if (!info.Exists)
                throw new QuantSdkException("QSDK7006", $"'{path}' is missing; the manifest lists it. Build the model again, or copy the whole folder.", path);
            info = info.ResolveLinkTarget(returnFinalTarget: true) as FileInfo ?? info; // a link has a length of its own
            if (info.Length != file.Bytes)
                throw new QuantSdkException("QSDK7006", $"'{path}' has {info.Length} bytes; the manifest says {file.Bytes}. Build the model again, or copy the whole folder.", path);
            needed.Add((file, path));
        }
        return new EngineFiles(manifestFile, Confine(directory, manifestFile, model), live is null ? null : Confine(directory, manifestFile, live), [.. chosen.Select(path => Confine(directory, manifestFile, path))], needed);
    }

    /// <summary>Compares the hashes of the graphs alone: they are small and are parsed, so that they are looked at first.</summary>
    public void VerifyGraphs() => Verify([.. _files.Where(file => IsGraph(file.Path))], threads: 1);

    /// <summary>Compares the hashes of everything else.</summary>
    public void VerifyData() => Verify([.. _files.Where(file => !IsGraph(file.Path))], Environment.ProcessorCount);

    private bool IsGraph(string path) => path == ModelPath || path == LivePath || HeadPaths.Contains(path);

    private static void Verify(IReadOnlyList<(EngineFile File, string Path)> files, int threads)
    {
        IReadOnlyList<string> hashes;
        try
        {
            hashes = TreeHash.OfFiles([.. files.Select(file => file.Path)], threads);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new QuantSdkException("QSDK7006", $"The model's files cannot be read: {e.Message}", files[0].Path, inner: e);
        }
        foreach (var ((file, path), hash) in files.Zip(hashes))
            if (!string.Equals(hash, file.Hash, StringComparison.OrdinalIgnoreCase))
                throw new QuantSdkException("QSDK7007", $"'{path}' is damaged: its hash is {hash}, the manifest says {file.Hash}. Build the model again, or copy the folder again.", path);
    }

    /// <summary>A model and its data share the path up to the last extension.</summary>
    private static string Stem(string path) => Path.ChangeExtension(path, null);

    /// <exception cref="QuantSdkException">QSDK7005.</exception>
    internal static string Confine(string directory, string manifestFile, string path) =>
        ConfinedPath.Resolve(directory, path, out var refusal)
        ?? throw new QuantSdkException("QSDK7005", $"The manifest '{manifestFile}' names '{path}', which is refused: {refusal}. Paths must be relative and stay inside the model's folder.", manifestFile);
}
