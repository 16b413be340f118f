using System.Globalization;
using System.Runtime.InteropServices;

namespace QuantSdk.Runtime;

/// <summary>The few functions of NVIDIA's driver that ONNX Runtime's managed layer does not offer. Loaded where they are first needed.</summary>
internal static unsafe class CudaDriver
{
    private static readonly string s_file = OperatingSystem.IsWindows() ? "nvcuda.dll" : "libcuda.so.1";
    private static readonly Lazy<nint> s_library = new(() => NativeLibrary.TryLoad(s_file, out var library) ? library : 0);

    private const int MajorAttribute = 75, MinorAttribute = 76; // CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_…

    /// <summary>A GPU.</summary>
    /// <param name="refusal">Why there is none.</param>
    public static GpuDevice? Device(int index, out string refusal)
    {
        refusal = $"{s_file} is not found: there is no NVIDIA driver";
        if (s_library.Value == 0)
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
    }

    /// <summary>Makes the context that CUDA's runtime, and with it ONNX Runtime, works in the calling thread's.</summary>
    public static void Enter(int index)
    {
        int device;
        nint context;
        Check(((delegate* unmanaged<int*, int, int>)Function("cuDeviceGet"))(&device, index));
        // The runtime holds it as long as a session lives: what is counted here never runs out.
        Check(((delegate* unmanaged<nint*, int, int>)Function("cuDevicePrimaryCtxRetain"))(&context, device));
        Check(((delegate* unmanaged<int, int>)Function("cuDevicePrimaryCtxRelease_v2"))(device));
        Check(((delegate* unmanaged<nint, int>)Function("cuCtxSetCurrent"))(context));
    }

    /// <summary>Copies into the GPU's memory; done when <see cref="Wait"/> returns.</summary>
    public static void Upload(nint target, ReadOnlySpan<byte> source)
    {
        fixed (byte* bytes = source)
            Check(((delegate* unmanaged<nint, byte*, nuint, int>)Function("cuMemcpyHtoD_v2"))(target, bytes, (nuint)source.Length));
    }

    /// <summary>Copies out of the GPU's memory.</summary>
    public static void Download(Span<byte> target, nint source)
    {
        fixed (byte* bytes = target)
            Check(((delegate* unmanaged<byte*, nint, nuint, int>)Function("cuMemcpyDtoH_v2"))(bytes, source, (nuint)target.Length));
    }

    /// <summary>Waits for everything that the context has begun.</summary>
    public static void Wait() => Check(((delegate* unmanaged<int>)Function("cuCtxSynchronize"))());

    private static nint Function(string name) => NativeLibrary.GetExport(s_library.Value, name);

    private static void Check(int result)
    {
        if (result != 0)
            throw new QuantSdkException("QSDK7065", string.Create(CultureInfo.InvariantCulture, $"The NVIDIA driver cannot copy to or from the GPU (CUDA error {result}). The GPU may have failed in an earlier run: start the app again; if it happens again, load the model without CudaGraph."));
    }
}
