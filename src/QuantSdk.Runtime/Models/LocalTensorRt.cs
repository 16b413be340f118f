using System.Runtime.InteropServices;
using Microsoft.ML.OnnxRuntime;

namespace QuantSdk.Runtime;

/// <summary>This machine.</summary>
internal sealed unsafe class LocalTensorRt : ITensorRtPlatform
{
    /// <summary>What ONNX Runtime 1.29's provider is linked to.</summary>
    private const int Major = 10;

    private static readonly string s_library = OperatingSystem.IsWindows() ? $"nvinfer_{Major}.dll" : $"libnvinfer.so.{Major}";

    public string? ProviderRefusal() => TensorRtProvider.Refusal();

    public Version? Library(out string refusal)
    {
        // A look at the list is cheap; a library that ONNX Runtime cannot use need not be loaded.
        if (!OrtEnv.Instance().GetAvailableProviders().Contains(TensorRtProvider.Name, StringComparer.Ordinal))
        {
            refusal = "this ONNX Runtime was built without TensorRT (reference Microsoft.ML.OnnxRuntime.Gpu)";
            return null;
        }
        refusal = $"{s_library} is not found: install TensorRT {Major} and put its libraries on the path where the system looks for them";
        if (!NativeLibrary.TryLoad(s_library, out var library) || !NativeLibrary.TryGetExport(library, "getInferLibVersion", out var version))
            return null;
        var number = ((delegate* unmanaged<int>)version)();
        return new Version(number / 10_000, number / 100 % 100, number % 100);
    }

    public GpuDevice? Device(int index, out string refusal) => CudaDriver.Device(index, out refusal);
}
