namespace QuantSdk.Serving;

/// <summary>A model configuration (message inference.ModelConfig): what config.pbtxt says, as far as it is used here.</summary>
internal sealed record TritonConfig
{
    public const string TensorRt = "tensorrt_plan", OnnxRuntime = "onnxruntime_onnx";

    /// <summary>Lines for people at the head of the file.</summary>
    public IReadOnlyList<string> Comments { get; init; } = [];

    /// <summary>The name of the model's folder.</summary>
    public required string Name { get; init; }

    /// <summary><see cref="TensorRt"/> or <see cref="OnnxRuntime"/>.</summary>
    public required string Platform { get; init; }

    /// <summary>0: the dimensions are whole, and requests are never joined.</summary>
    public int MaxBatchSize { get; init; }

    public required IReadOnlyList<TritonTensor> Inputs { get; init; }

    public required IReadOnlyList<TritonTensor> Outputs { get; init; }

    /// <summary>Microseconds that requests wait to be joined; null where they are not.</summary>
    public int? QueueDelay { get; init; }

    /// <summary>Batches that are waited for; only where profiles differ in them.</summary>
    public IReadOnlyList<long> PreferredBatches { get; init; } = [];

    public int Instances { get; init; } = 1;

    public bool OnGpu { get; init; }

    /// <summary>Empty: all.</summary>
    public IReadOnlyList<int> Gpus { get; init; } = [];

    /// <summary>How many profiles the plan has; each instance has them all.</summary>
    public int Profiles { get; init; }

    /// <summary>The file in the version folder where it is not the platform's own name.</summary>
    public string? DefaultFile { get; init; }

    /// <summary>File by compute capability, where there are several.</summary>
    public IReadOnlyDictionary<string, string> FileOfCapability { get; init; } = new SortedDictionary<string, string>(StringComparer.Ordinal);

    /// <summary>Kernels are recorded and replayed.</summary>
    public bool CudaGraphs { get; init; }

    /// <summary>ONNX Runtime hands the graph to TensorRT, which builds engines as the model is loaded.</summary>
    public bool TensorRtAccelerator { get; init; }

    /// <summary>Facts for clients, by name.</summary>
    public IReadOnlyDictionary<string, string> Parameters { get; init; } = new SortedDictionary<string, string>(StringComparer.Ordinal);
}
