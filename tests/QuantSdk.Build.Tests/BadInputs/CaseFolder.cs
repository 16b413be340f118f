namespace QuantSdk.Build.Tests.BadInputs;

/// <summary>The folder of one run of the tool: inputs, an older engine in `out/engine`, and a place for temporary files.</summary>
internal sealed class CaseFolder : IDisposable
{
    private const string OldManifest = "the engine that was there before";

    public CaseFolder()
    {
        Directory.CreateDirectory(Home);
        Directory.CreateDirectory(Temporary);
        File.WriteAllText(Path.Combine(Directory.CreateDirectory(Output).FullName, "manifest.json"), OldManifest);
        Write("tiny.onnx", TinyModel.Classifier());
        Write("good.npz", NumPy.Npz(("x", NumPy.Floats("32, 8", 256))));
    }

    public string Root { get; } = Directory.CreateTempSubdirectory("quantsdk-bad-").FullName;

    public string Temporary => Path.Combine(Root, "tmp");

    /// <summary>The user's folder; what the tool leaves there would be found.</summary>
    public string Home => Path.Combine(Root, "home");

    public string Output => Path.Combine(Root, "out", "engine");

    public string this[string name] => Path.Combine(Root, name);

    public string Write(string name, byte[] content)
    {
        File.WriteAllBytes(this[name], content);
        return this[name];
    }

    public string Write(string name, string content) => Write(name, System.Text.Encoding.UTF8.GetBytes(content));

    /// <summary>Everything below the folder, with sizes and times: equal before and after a run that left nothing.</summary>
    public string Snapshot() => string.Join('\n', Directory.EnumerateFileSystemEntries(Root, "*", SearchOption.AllDirectories).Order(StringComparer.Ordinal)
        .Select(e => File.Exists(e) ? $"{e} {new FileInfo(e).Length} {File.GetLastWriteTimeUtc(e):O}" : e + "/"));

    public void Dispose() => Directory.Delete(Root, recursive: true);
}
