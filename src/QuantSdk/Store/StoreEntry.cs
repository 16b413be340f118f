using QuantSdk.Runtime;

namespace QuantSdk.Store;

/// <summary>What is about to be kept.</summary>
internal sealed class StoreEntry
{
    public Dictionary<string, string> Values { get; } = new(StringComparer.Ordinal);

    /// <summary>Names in the record, where the files are, and their hashes where they are known.</summary>
    public List<(string Name, string Path, string? Hash)> Files { get; } = [];

    public void AddJson<T>(string name, T value, string scratch) => AddText(name, QuantSdkJson.Write(value), scratch);

    public void AddText(string name, string? text, string scratch)
    {
        if (text is null)
            return;
        var path = Path.Combine(scratch, "kept." + name);
        File.WriteAllText(path, text);
        Files.Add((name, path, null));
    }

    public void AddFiles(EngineVariant variant, string folder) => Files.AddRange(variant.Files.Select(f => (f.Path, Path.Combine(folder, f.Path), (string?)f.Hash)));
}
