using System.Globalization;
using Microsoft.ML.OnnxRuntime;

namespace QuantSdk.Runtime;

/// <summary>An execution provider of ONNX Runtime that works in a GPU's memory, as a session uses it.</summary>
/// <param name="Device">The index of the GPU.</param>
/// <param name="Options">Options of the provider by ONNX Runtime's names.</param>
/// <param name="Resident">Outputs that stay in the GPU's memory; the others are copied to the host after each run.</param>
internal abstract record GpuProvider(int Device, IReadOnlyDictionary<string, string> Options, IReadOnlyList<string> Resident)
{
    /// <summary>
    /// Kernels are recorded once and replayed, on the memory that they were recorded with: inputs and outputs keep their places in the GPU's memory, and a session has one
    /// binding.
    /// </summary>
    public abstract bool Records { get; }

    /// <summary>Makes the provider the first of a session.</summary>
    public abstract void AppendTo(SessionOptions session);

    /// <summary>The GPU's memory; the caller disposes it.</summary>
    public OrtMemoryInfo Memory() => new(OrtMemoryInfo.allocatorCUDA, OrtAllocatorType.DeviceAllocator, Device, OrtMemType.Default);

    /// <summary><see cref="Options"/> with the device.</summary>
    protected Dictionary<string, string> WithDevice() => new(Options) { ["device_id"] = Device.ToString(CultureInfo.InvariantCulture) };

    /// <summary>The options that make a provider work on a stream of the app. They take its address as a decimal number.</summary>
    public static IEnumerable<KeyValuePair<string, string>> OnStream(nint stream) => stream == 0 ? []
        : [new("has_user_compute_stream", "1"), new("user_compute_stream", ((nuint)stream).ToString(CultureInfo.InvariantCulture))];

    protected bool Says(string option) => Options.GetValueOrDefault(option)?.ToLowerInvariant() is "1" or "true";

    /// <summary>Why a provider cannot be used here, or null: whether this ONNX Runtime has it, and its libraries load.</summary>
    protected static string? Refusal(string name, string missing, GpuProvider provider)
    {
        if (!OrtEnv.Instance().GetAvailableProviders().Contains(name, StringComparer.Ordinal))
            return missing;
        try
        {
            using var options = new SessionOptions { LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL };
            provider.AppendTo(options);
            return null;
        }
        // Beside OnnxRuntimeException: entry points that a library without the provider lacks.
        catch (Exception e) when (e is OnnxRuntimeException or EntryPointNotFoundException or DllNotFoundException)
        {
            return e.Message.ReplaceLineEndings(" ").Trim();
        }
    }
}
