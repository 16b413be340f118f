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

    /// <summary>A model cut at tensors: full and live part.</summary>
    public static ModelFolder Cut(string onnx, DiffusionRoles roles, string cut, params string[] tensors)
    {
        var folder = Of(onnx, roles);
        var model = System.IO.File.ReadAllBytes(onnx);
        var type = folder.Read().Outputs[0].Type;
        var code = type == "float" ? 1 : 10;
        System.IO.File.WriteAllBytes(folder.File("cpu/model.onnx"), OnnxCut.Full(model, code, tensors));
        System.IO.File.WriteAllBytes(folder.File("cpu/live.onnx"), OnnxCut.Live(model, code, tensors));
        folder.Change(variant => variant with
        {
            Files = [folder.Describe("cpu/model.onnx"), folder.Describe("cpu/model.data"), folder.Describe("cpu/live.onnx")],
            Cache = new CachedVariant("cpu/live.onnx", null, [.. tensors.Select(name => new TensorInfo(name, type, []))]),
        });
        folder.Write(folder.Read() with { Cache = new CacheInfo(cut, []) });
        return folder;
    }

    /// <summary><see cref="TinyOnnx.Denoiser"/>, its product cached.</summary>
    public static ModelFolder CachedTiny(bool half = false)
    {
        var file = System.IO.Path.GetTempFileName();
        System.IO.File.WriteAllBytes(file, TinyOnnx.Denoiser(half));
        try
        {
            return Cut(file, new("sample", "timestep", 0.001f), "tensor:" + TinyOnnx.Deep, TinyOnnx.Deep);
        }
        finally
        {
            System.IO.File.Delete(file);
        }
    }

    /// <summary>The UNet as DeepCache cuts it: the second-last residual block's output is cached.</summary>
    public static ModelFolder DeepCachedUnet() => Cut(TestData.Path("digits", "unet.onnx"), UnetRoles, "output:up_blocks.2.resnets.1", "/u/up_blocks.2/resnets.1/Div_output_0");

    /// <summary>The UNet with everything but its last block cached.</summary>
    public static ModelFolder BlockCachedUnet() => Cut(
        TestData.Path("digits", "unet.onnx"), UnetRoles, "live:up_blocks.2",
        "/u/up_blocks.1/upsamplers.0/conv/Conv_output_0", "/u/down_blocks.0/resnets.0/Div_output_0", "/u/down_blocks.0/resnets.1/Div_output_0");

    public string File(string relative) => System.IO.Path.Combine(Path, relative);

    public Manifest Read() => ManifestFile.Read(File("manifest.json"));

    public void Write(Manifest manifest) => ManifestFile.Write(File("manifest.json"), manifest);

    /// <summary>Changes the only variant.</summary>
    public void Change(Func<EngineVariant, EngineVariant> change) => Write(Read() is var manifest ? manifest with { Variants = [change(manifest.Variants[0])] } : null!);

    public EngineFile Describe(string relative) => new(relative, new FileInfo(File(relative)).Length, TreeHash.OfFile(File(relative)));

    public void Dispose() => Directory.Delete(Root, recursive: true);
}
