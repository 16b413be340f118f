namespace QuantSdk.Runtime;

/// <summary>How <see cref="QuantizedModel.Load"/> opens a model.</summary>
public sealed record QuantizedModelOptions
{
    private readonly int _threads;

    /// <summary>Threads within one operator; 0 (the default) leaves the number to ONNX Runtime, one per physical core.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The number is negative.</exception>
    public int Threads
    {
        get => _threads;
        init
        {
            ArgumentOutOfRangeException.ThrowIfNegative(value);
            _threads = value;
        }
    }

    /// <summary>Whether the files' hashes are compared with the manifest's (the default). Without it only their sizes are.</summary>
    public bool VerifyHashes { get; init; } = true;

    /// <summary>The index of the GPU that runs a variant for CUDA or TensorRT.</summary>
    public int CudaDevice { get; init; }

    /// <summary>Options of ONNX Runtime's CUDA provider by its names, such as <c>prefer_nhwc</c> or <c>cudnn_conv_algo_search</c>; unknown ones are refused as the model is loaded (QSDK7009).</summary>
    public IReadOnlyDictionary<string, string> CudaOptions { get; init; } = new Dictionary<string, string>();

    /// <summary>
    /// Options of ONNX Runtime's TensorRT provider by its names, such as <c>trt_context_memory_sharing_enable</c>; they win over those that the manifest asks for.
    /// </summary>
    public IReadOnlyDictionary<string, string> TensorRtOptions { get; init; } = new Dictionary<string, string>();

    /// <summary>
    /// Whether a GPU's kernels are recorded once and replayed (a CUDA graph), which saves their launching; null (the default): as the model was built. A recording is for
    /// one set of buffers: the model can then be bound once, for one set of shapes (QSDK7064).
    /// </summary>
    public bool? CudaGraph { get; init; }

    /// <summary>
    /// A CUDA stream of the app (a <c>cudaStream_t</c>) that a variant for CUDA or TensorRT works on; 0 (the default) leaves it a stream of its own. The stream must
    /// outlive the model.
    /// </summary>
    public nint CudaStream { get; init; }

    /// <summary>What the machine has of TensorRT, so that tests can stand on another one.</summary>
    internal ITensorRtPlatform TensorRtPlatform { get; init; } = new LocalTensorRt();

    /// <summary>Why CUDA cannot be used, so that tests can stand on another machine.</summary>
    internal Func<string?> CudaRefusal { get; init; } = CudaProvider.Refusal;

    /// <summary>The CPU features to believe in, so that tests can stand on another machine.</summary>
    internal string CpuFeatures { get; init; } = Runtime.CpuFeatures.Current;
}
