using Microsoft.ML.OnnxRuntime;

namespace QuantSdk.Runtime;

/// <summary>ONNX Runtime's CUDA provider.</summary>
/// <inheritdoc cref="GpuProvider(int, IReadOnlyDictionary{string, string}, IReadOnlyList{string})"/>
internal sealed record CudaProvider(int Device, IReadOnlyDictionary<string, string> Options, IReadOnlyList<string> Resident) : GpuProvider(Device, Options, Resident)
{
    public const string Target = "cuda", Name = "CUDAExecutionProvider";

    /// <summary>Why sessions cannot use the provider here, or null. Whether there is a GPU shows when a model is opened.</summary>
    public static string? Refusal() =>
        Refusal(Name, "this ONNX Runtime was built without CUDA (reference Microsoft.ML.OnnxRuntime.Gpu)", new CudaProvider(0, new Dictionary<string, string>(), []));

    public override bool Records => Says("enable_cuda_graph");

    /// <summary>The provider with what an app asks for.</summary>
    public static CudaProvider Of(IReadOnlyList<string> resident, QuantizedModelOptions options)
    {
        var entries = new Dictionary<string, string>(OnStream(options.CudaStream));
        if (options.CudaGraph == true)
            entries["enable_cuda_graph"] = "1";
        foreach (var (key, value) in options.CudaOptions)
            entries[key] = value;
        return new CudaProvider(options.CudaDevice, entries, resident);
    }

    public override void AppendTo(SessionOptions session)
    {
        using var provider = new OrtCUDAProviderOptions();
        provider.UpdateOptions(WithDevice());
        session.AppendExecutionProvider_CUDA(provider);
    }
}
