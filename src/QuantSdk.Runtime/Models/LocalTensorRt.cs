using System.Globalization;
using System.Runtime.InteropServices;
using Microsoft.ML.OnnxRuntime;

namespace QuantSdk.Runtime;

/// <summary>This machine.</summary>
internal sealed unsafe class LocalTensorRt : ITensorRtPlatform
{
    /// <summary>What ONNX Runtime 1.29's provider is linked to.</summary>
    private const int Major = 10;

    private const int MajorAttribute = 75, MinorAttribute = 76; // CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_…

    private static readonly string s_library = OperatingSystem.IsWindows() ? $"nvinfer_{Major}.dll" : $"libnvinfer.so.{Major}";
    private static readonly string s_driver = OperatingSystem.IsWindows() ? "nvcuda.dll" : "libcuda.so.1";

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

    public GpuDevice? Device(int index, out string refusal)
    {
        refusal = $"{s_driver} is not found: there is no NVIDIA driver";
        if (!NativeLibrary.TryLoad(s_driver, out var driver))
            return null;
        int result, count, device, major, minor;
        if ((result = ((delegate* unmanaged<uint, int>)Function("cuInit"))(0)) != 0 || (result = ((delegate* unmanaged<int*, int>)Function("cuDeviceGetCount"))(&count)) != 0)
        {
            refusal = string.Create(CultureInfo.InvariantCulture, $"the NVIDIA driver refuses to start (CUDA error {result})");
            return null;
        }
        refusal = string.Create(CultureInfo.InvariantCulture, $"there is no GPU {index}; the driver shows {count}");
        if (index < 0 || index >= count)
            return null;
        const int nameBytes = 256;
        var name = stackalloc byte[nameBytes];
        var attribute = (delegate* unmanaged<int*, int, int, int>)Function("cuDeviceGetAttribute");
        if ((result = ((delegate* unmanaged<int*, int, int>)Function("cuDeviceGet"))(&device, index)) != 0 || (result = attribute(&major, MajorAttribute, device)) != 0
            || (result = attribute(&minor, MinorAttribute, device)) != 0 || (result = ((delegate* unmanaged<byte*, int, int, int>)Function("cuDeviceGetName"))(name, nameBytes, device)) != 0)
        {
            refusal = string.Create(CultureInfo.InvariantCulture, $"the NVIDIA driver says nothing about GPU {index} (CUDA error {result})");
            return null;
        }
        return new GpuDevice(Marshal.PtrToStringUTF8((nint)name) ?? "", new Version(major, minor));

        nint Function(string function) => NativeLibrary.GetExport(driver, function);
    }
}
