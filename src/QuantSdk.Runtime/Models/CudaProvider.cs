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

    public override void AppendTo(SessionOptions session)
    {
        using var provider = new OrtCUDAProviderOptions();
        provider.UpdateOptions(WithDevice());
        session.AppendExecutionProvider_CUDA(provider);
    }
}
