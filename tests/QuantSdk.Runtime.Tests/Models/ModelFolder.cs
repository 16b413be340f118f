namespace QuantSdk.Runtime.Tests;

/// <summary>A model folder made by hand in a temporary place: what a build with Precision=none would leave. Deleted with the object.</summary>
internal sealed class ModelFolder : IDisposable
{
    private ModelFolder(string root) => Root = root;

    /// <summary>The folder that holds the models.</summary>
    public string Root { get; }

    public string Path => System.IO.Path.Combine(Root, "model");

    public static DiffusionRoles UnetRoles { get; } = new("sample", "timestep", 1);

    /// <summary>A classifier: quick to load, no denoiser.</summary>
    public static ModelFolder Small() => Of(TestData.Path("digits", "digits_cnn.onnx"), null);

    public static ModelFolder Unet() => Of(TestData.Path("digits", "unet.onnx"), UnetRoles);

    public static ModelFolder Transformer() => Of(TestData.Path("mmdit", "transformer.onnx"), new("hidden_states", "timestep", 1));

    public static ModelFolder Of(string onnx, DiffusionRoles? roles)
    {
        var folder = new ModelFolder(Directory.CreateTempSubdirectory("quantsdk-").FullName);
        Directory.CreateDirectory(folder.File("cpu"));
        System.IO.File.Copy(onnx, folder.File("cpu/model.onnx"));
        System.IO.File.WriteAllBytes(folder.File("cpu/model.data"), []);
        using var session = ModelSession.Open(onnx, new SessionSettings());
        folder.Write(new Manifest
        {
            Name = "model",
            ToolVersion = "1.0.0",
            Precision = "none",
            RecipeHash = "00",
            Inputs = [.. session.Inputs.Select(port => port.Info)],
            Outputs = [.. session.Outputs.Select(port => port.Info)],
            Roles = roles,
            Variants = [new EngineVariant("cpu", "cpu/model.onnx", null, [], [folder.Describe("cpu/model.onnx"), folder.Describe("cpu/model.data")])],
        });
        return folder;
    }

    public string File(string relative) => System.IO.Path.Combine(Path, relative);

    public Manifest Read() => ManifestFile.Read(File("manifest.json"));

    public void Write(Manifest manifest) => ManifestFile.Write(File("manifest.json"), manifest);

    /// <summary>Changes the only variant.</summary>
    public void Change(Func<EngineVariant, EngineVariant> change) => Write(Read() is var manifest ? manifest with { Variants = [change(manifest.Variants[0])] } : null!);

    public EngineFile Describe(string relative) => new(relative, new FileInfo(File(relative)).Length, TreeHash.OfFile(File(relative)));

    public void Dispose() => Directory.Delete(Root, recursive: true);
}
