using Microsoft.ML.OnnxRuntime;

namespace QuantSdk.Runtime;

/// <summary>ONNX Runtime's CUDA provider as a session uses it.</summary>
/// <param name="Device">The index of the GPU.</param>
/// <param name="Options">Options of the provider by ONNX Runtime's names, such as <c>prefer_nhwc</c>.</param>
/// <param name="Resident">Outputs that stay in the GPU's memory; the others are copied to the host after each run.</param>
internal sealed record CudaProvider(int Device, IReadOnlyDictionary<string, string> Options, IReadOnlyList<string> Resident)
{
    public const string Target = "cuda", Name = "CUDAExecutionProvider";

    /// <summary>Why sessions cannot use the provider here, or null. Whether there is a GPU shows when a model is opened.</summary>
    public static string? Refusal()
    {
        if (!OrtEnv.Instance().GetAvailableProviders().Contains(Name, StringComparer.Ordinal))
            return "this ONNX Runtime was built without CUDA (reference Microsoft.ML.OnnxRuntime.Gpu)";
        try
        {
            using var options = new SessionOptions { LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL };
            new CudaProvider(0, new Dictionary<string, string>(), []).AppendTo(options);
            return null;
        }
        // Beside OnnxRuntimeException: entry points that a library without CUDA lacks.
        catch (Exception e) when (e is OnnxRuntimeException or EntryPointNotFoundException or DllNotFoundException)
        {
            return e.Message.ReplaceLineEndings(" ").Trim();
        }
    }

    public void AppendTo(SessionOptions session)
    {
        using var provider = new OrtCUDAProviderOptions();
        provider.UpdateOptions(new Dictionary<string, string>(Options) { ["device_id"] = $"{Device}" });
        session.AppendExecutionProvider_CUDA(provider);
    }

    /// <summary>The GPU's memory; the caller disposes it.</summary>
    public OrtMemoryInfo Memory() => new(OrtMemoryInfo.allocatorCUDA, OrtAllocatorType.DeviceAllocator, Device, OrtMemType.Default);
}
