using QuantSdk.Runtime;

namespace QuantSdk.Serving;

/// <summary>An engine folder whose files are what its manifest says, and the variant of it that is served.</summary>
internal sealed record ServedEngine(string Directory, Manifest Manifest, EngineVariant Variant)
{
    /// <summary>Variants in the order in which they are preferred.</summary>
    public static readonly IReadOnlyList<string> Targets = [TensorRtProvider.Target, TensorRtOnnx, CudaProvider.Target, "cpu"];

    public const string TensorRtOnnx = "tensorrt-onnx";

    /// <param name="target">The variant; null: the first of <see cref="Targets"/> that the model has.</param>
    /// <exception cref="QuantSdkException">QSDK4071 to 4074, and those of a manifest and its files: 7001 to 7007, 7060, 7061.</exception>
    public static ServedEngine Open(string directory, string? target)
    {
        directory = Path.TrimEndingDirectorySeparator(Path.GetFullPath(directory));
        var file = Path.Combine(directory, ManifestFile.Name);
        if (!File.Exists(file))
            throw new QuantSdkException("QSDK4076", $"'{directory}' holds no {ManifestFile.Name}. Name folders that a build or `quantsdk build` has made, such as models/unet.", directory);
        var manifest = ManifestFile.Read(file);
        var variant = (target is null ? Targets : [target]).Select(t => manifest.Variants.FirstOrDefault(v => v.Target == t)).OfType<EngineVariant>().FirstOrDefault()
            ?? throw new QuantSdkException("QSDK4071", $"'{directory}' has no variant {target ?? "that Triton serves"}; it has {string.Join(", ", manifest.Variants.Select(v => v.Target))}. Build the model with Targets={target ?? "tensorrt"}.", file);
        if (variant.Heads is not null)
            throw new QuantSdkException("QSDK4072", $"'{manifest.Name}' was built with Hoist=true: a part of it is computed apart by the runtime, which a server does not do. Build it without.", file);
        if (variant.TensorRt is { Stripped: true })
            throw new QuantSdkException("QSDK4074", $"The plan of '{manifest.Name}' has no weights, and Triton does not put them in. Build it without StripWeights.", file);
        if (variant.Target == TensorRtProvider.Target && variant.TensorRt is null)
            throw new QuantSdkException("QSDK7003", $"The manifest '{file}' cannot be used: it does not say what the plan of its variant tensorrt was built for. Build the model again.", file);
        var files = EngineFiles.Locate(directory, file, variant, PortableModel(file, variant));
        files.VerifyGraphs();
        files.VerifyData();
        if (variant.TensorRt is { } info)
            PlanFile.Check(directory, file, variant, info);
        return new ServedEngine(directory, manifest, variant);
    }

    /// <summary>The full path of a file that the manifest names.</summary>
    public string PathOf(string relative) => EngineFiles.Confine(Directory, Path.Combine(Directory, ManifestFile.Name), relative);

    /// <summary>The optimised one is for one CPU and one version of ONNX Runtime.</summary>
    private static string PortableModel(string file, EngineVariant variant) => variant.Files.Any(f => f.Path == variant.Model) ? variant.Model
        : throw new QuantSdkException("QSDK4071", $"'{file}': the variant {variant.Target} has no portable graph, which alone runs on other machines. Build the model without Portable=false.", file);
}
