namespace QuantSdk.Recipes;

/// <summary>What trtexec is asked for, with every default written out.</summary>
internal sealed record TensorRtOptions
{
    /// <summary>Least shapes of dynamic inputs in trtexec's grammar, one text a profile; empty: from the model and its data. As many as <see cref="OptShapes"/> and <see cref="MaxShapes"/>.</summary>
    public IReadOnlyList<string> MinShapes { get; init; } = [];

    /// <summary>The shapes that kernels are chosen for.</summary>
    public IReadOnlyList<string> OptShapes { get; init; } = [];

    public IReadOnlyList<string> MaxShapes { get; init; } = [];

    /// <summary>Types are what the graph says. False: TensorRT chooses among those that flags allow (--fp16 --int8), which ended with TensorRT 11.</summary>
    public bool StronglyTyped { get; init; } = true;

    /// <summary>0 to 5: how long kernels are searched for; null: the library's own.</summary>
    public int? BuilderOptimizationLevel { get; init; }

    /// <summary>MiB that a kernel may use beside its tensors; null: what the GPU has.</summary>
    public int? Workspace { get; init; }

    /// <summary>GPUs that the engine runs on: none (the one that builds it), ampere+ or sameComputeCapability.</summary>
    public string HardwareCompatibility { get; init; } = "none";

    /// <summary>The engine loads in newer versions of TensorRT too.</summary>
    public bool VersionCompatible { get; init; }

    /// <summary>The engine has no weights; the ONNX model is shipped beside it, from which they are put in where it is first loaded.</summary>
    public bool StripWeights { get; init; }

    /// <summary>The weights of the engine may be replaced.</summary>
    public bool Refit { get; init; }

    /// <summary>disable, enable, or force, which overwrites weights.</summary>
    public string Sparsity { get; init; } = "disable";

    /// <summary>layer_names_only, detailed or none.</summary>
    public string ProfilingVerbosity { get; init; } = "layer_names_only";

    /// <summary>What the engine's layers are is written beside the report.</summary>
    public bool LayerInfo { get; init; }

    /// <summary>Libraries with plugins that building and loading need; relative to the project.</summary>
    public IReadOnlyList<string> Plugins { get; init; } = [];

    /// <summary>Further options of trtexec.</summary>
    public IReadOnlyList<string> TrtExecArguments { get; init; } = [];

    /// <summary>The GPU that builds the engine.</summary>
    public int GpuDevice { get; init; }

    /// <summary>The runtime records the engine's kernels once a shape and replays them.</summary>
    public bool CudaGraph { get; init; }

    /// <summary>trtexec runs the engine after it is built, for the report.</summary>
    public bool MeasureEngine { get; init; }
}
