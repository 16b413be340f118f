namespace QuantSdk.Runtime;

/// <summary>
/// What a build says about one engine folder (<c>models/NAME/manifest.json</c>): the only contract between the build and the runtime.
/// </summary>
public sealed record Manifest
{
    /// <summary>The schema that this version of the runtime reads and writes.</summary>
    public const int CurrentSchema = 1;

    /// <summary>The schema of the file. A larger number than <see cref="CurrentSchema"/> is refused.</summary>
    public int Schema { get; init; } = CurrentSchema;

    /// <summary>The model's name: its folder under <c>models/</c>.</summary>
    public required string Name { get; init; }

    /// <summary>The version of the tool that built the folder.</summary>
    public required string ToolVersion { get; init; }

    /// <summary>The precision asked for: <c>int8</c>, <c>none</c>, …</summary>
    public required string Precision { get; init; }

    /// <summary>The hash of the recipe and of everything it names: equal hashes mean an equal request.</summary>
    public required string RecipeHash { get; init; }

    /// <summary>The size in bytes of the float model that this one was made from, external data included.</summary>
    public long FloatBytes { get; init; }

    /// <summary>The model's inputs, in the order of the graph.</summary>
    public IReadOnlyList<TensorInfo> Inputs { get; init; } = [];

    /// <summary>The model's outputs, in the order of the graph.</summary>
    public IReadOnlyList<TensorInfo> Outputs { get; init; } = [];

    /// <summary>Which inputs play which part in a diffusion loop, or null where the model is no denoiser.</summary>
    public DiffusionRoles? Roles { get; init; }

    /// <summary>One variant per target, the preferred one first.</summary>
    public IReadOnlyList<EngineVariant> Variants { get; init; } = [];

    /// <summary>The measured agreement of each output with the float model, on rows that were not calibrated on.</summary>
    public IReadOnlyList<OutputQuality> Quality { get; init; } = [];

    /// <summary>How the model is cached between steps, or null where it was built without <c>Cache</c>.</summary>
    public CacheInfo? Cache { get; init; }

    /// <summary>The gate that the quantised model missed, where the float model is shipped in its place (<c>OnGateFailure=Fallback</c>); otherwise null.</summary>
    public string? Fallback { get; init; }
}

/// <summary>An input or output of a model.</summary>
/// <param name="Name">Its name in the graph.</param>
/// <param name="Type">Its element type by ONNX's name: <c>float</c>, <c>float16</c>, <c>double</c>, <c>int64</c>, <c>int32</c>, <c>int8</c>, <c>uint8</c>, <c>bool</c>.</param>
/// <param name="Shape">Its dimensions; −1 stands for one that is only known at run time. Empty for a scalar.</param>
public sealed record TensorInfo(string Name, string Type, IReadOnlyList<long> Shape);

/// <summary>The parts that a denoiser's inputs play.</summary>
/// <param name="Sample">The input that takes the noisy sample.</param>
/// <param name="Timestep">The input that takes the timestep, cast and broadcast to its type and shape.</param>
/// <param name="TimestepScale">The factor on the sampler's timestep; 0.001 for models that expect it in [0, 1].</param>
public sealed record DiffusionRoles(string Sample, string Timestep, float TimestepScale);

/// <summary>The engine for one target.</summary>
/// <param name="Target"><c>cpu</c>, <c>cuda</c>, <c>tensorrt</c> or <c>tensorrt-onnx</c>.</param>
/// <param name="Model">The portable model, relative to the model's folder.</param>
/// <param name="Optimised">The model as ONNX Runtime optimised it, or null where none was kept.</param>
/// <param name="DisabledOptimizers">Graph optimisers of ONNX Runtime that must stay off when the portable model is loaded.</param>
/// <param name="Files">Every file of the variant, with its hash.</param>
/// <param name="Cache">The live part, or null where the model is not cached.</param>
/// <param name="Heads">What is evaluated apart from the model, in the order in which it is; null where the model was built without <c>Hoist</c>.</param>
/// <param name="TensorRt">The plan that <paramref name="Model"/> (and the live part's graph) stands for; null where the target is not <c>tensorrt</c>.</param>
public sealed record EngineVariant(
    string Target, string Model, OptimisedModel? Optimised, IReadOnlyList<string> DisabledOptimizers, IReadOnlyList<EngineFile> Files, CachedVariant? Cache = null, IReadOnlyList<HeadInfo>? Heads = null,
    TensorRtInfo? TensorRt = null);

/// <summary>What a TensorRT plan was built by and for.</summary>
/// <param name="Version">TensorRT's version as the plan has it: <c>major.minor.patch.build</c>.</param>
/// <param name="ComputeCapability">Of the GPU that built it, such as <c>9.0</c>.</param>
/// <param name="Gpu">The name of that GPU.</param>
/// <param name="HardwareCompatibility"><c>none</c>: this kind of GPU alone; <c>ampere+</c>; <c>sameComputeCapability</c>.</param>
/// <param name="VersionCompatible">It loads in newer versions of TensorRT of the same major version too.</param>
/// <param name="Plan">The plan, relative to the model's folder.</param>
/// <param name="LivePlan">The plan of the live part, or null where the model is not cached.</param>
/// <param name="Profiles">The shapes that dynamic inputs may have; empty where every input is of one shape.</param>
/// <param name="Stripped">The plan has no weights: they come from the Q/DQ model beside it where it is first loaded.</param>
/// <param name="CudaGraph">Kernels are recorded once a shape and replayed, unless the app's options say otherwise.</param>
/// <param name="Plugins">File names of libraries with plugins that the plan needs.</param>
public sealed record TensorRtInfo(
    string Version, string ComputeCapability, string Gpu, string HardwareCompatibility, bool VersionCompatible, string Plan, string? LivePlan,
    IReadOnlyList<TensorRtProfile> Profiles, bool Stripped = false, bool CudaGraph = false, IReadOnlyList<string>? Plugins = null);

/// <summary>One optimisation profile of a TensorRT plan.</summary>
public sealed record TensorRtProfile(IReadOnlyList<ShapeRange> Inputs);

/// <summary>The shapes that one input may have.</summary>
/// <param name="Input">The input's name.</param>
/// <param name="Min">The least dimensions.</param>
/// <param name="Opt">Those that kernels were chosen for.</param>
/// <param name="Max">The largest dimensions.</param>
public sealed record ShapeRange(string Input, IReadOnlyList<long> Min, IReadOnlyList<long> Opt, IReadOnlyList<long> Max);

/// <summary>A part of a model that does not depend on the values of the sample, split off to be evaluated as seldom as what it depends on changes.</summary>
/// <param name="DependsOn"><c>prompt</c> (all inputs but sample and timestep), <c>timestep</c>, or <c>both</c>.</param>
/// <param name="Model">The portable graph, relative to the model's folder.</param>
/// <param name="Optimised">The graph as ONNX Runtime optimised it, or null where none was kept.</param>
/// <param name="Tensors">What it computes: inputs, by the same names, of the heads after it, of the model and of its live part.</param>
/// <param name="OneThread">It is too little for more threads than one, and gives the same bits on any number of them.</param>
public sealed record HeadInfo(string DependsOn, string Model, OptimisedModel? Optimised, IReadOnlyList<TensorInfo> Tensors, bool OneThread = false);

/// <summary>The live part of a model whose deep features are cached between steps.</summary>
/// <param name="Live">The portable live.onnx, relative to the model's folder.</param>
/// <param name="Optimised">The live part as ONNX Runtime optimised it, or null where none was kept.</param>
/// <param name="Tensors">The cached tensors: outputs of the full model after its own ones, inputs of the live part by the same names.</param>
public sealed record CachedVariant(string Live, OptimisedModel? Optimised, IReadOnlyList<TensorInfo> Tensors);

/// <summary>What a build decided about caching.</summary>
/// <param name="Cut">The metadata <c>Cache</c>, as it was given.</param>
/// <param name="Schedules">Measured schedules, by number of steps and of full steps.</param>
/// <param name="Quality">
/// The agreement of each output with the float model along loops with every third step full, on rows that were not calibrated on; null where no sampler was given.
/// </param>
public sealed record CacheInfo(string Cut, IReadOnlyList<CachedScheduleInfo> Schedules, IReadOnlyList<OutputQuality>? Quality = null);

/// <summary>A schedule of full steps that was searched on the engine's own trajectories.</summary>
/// <param name="Steps">The number of steps in all.</param>
/// <param name="Full">The indices of full steps, ascending; the first is 0.</param>
/// <param name="Error">Relative L2 difference of the final samples from uncached ones, ≥ 0.</param>
/// <param name="Extrapolation">How far cached features follow the line through the last two full steps: 0, they stand still, to 1; see <see cref="CacheSchedule.Extrapolated"/>.</param>
public sealed record CachedScheduleInfo(int Steps, IReadOnlyList<int> Full, double Error, double Extrapolation = 0);

/// <summary>A model that ONNX Runtime has optimised, with prepacked weights: valid for one version of it and one set of CPU features only.</summary>
/// <param name="Model">The model, relative to the model's folder.</param>
/// <param name="OnnxRuntime">The version of ONNX Runtime that wrote it.</param>
/// <param name="CpuFeatures">The features of the CPU that it was written on.</param>
public sealed record OptimisedModel(string Model, string OnnxRuntime, string CpuFeatures);

/// <summary>A file of an engine variant.</summary>
/// <param name="Path">Its path relative to the model's folder, with <c>/</c> between the segments and without <c>..</c>.</param>
/// <param name="Bytes">Its length in bytes.</param>
/// <param name="Hash">SHA-256 over the SHA-256 of its 4 MiB leaves, in lower-case hexadecimal.</param>
public sealed record EngineFile(string Path, long Bytes, string Hash);

/// <summary>How well an output agrees with the float model's.</summary>
/// <param name="Output">The output's name.</param>
/// <param name="SqnrDb">Signal to quantisation noise, 10·log10(Σ float² / Σ (float − quantised)²), in dB.</param>
/// <param name="Cosine">Cosine of the angle between the two outputs, 1 = same direction.</param>
public sealed record OutputQuality(string Output, double SqnrDb, double Cosine);
