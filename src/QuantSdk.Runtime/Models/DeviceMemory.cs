using Microsoft.ML.OnnxRuntime;

namespace QuantSdk.Runtime;

/// <summary>A GPU's memory as one session allocates it.</summary>
internal sealed class DeviceMemory : IDisposable
{
    private readonly OrtAllocator _allocator;
    private readonly IReadOnlyList<string> _resident;
    private readonly int _index;

    public DeviceMemory(InferenceSession session, GpuProvider provider)
    {
        (Info, _resident, IsFixed, _index) = (provider.Memory(), provider.Resident, provider.Records, provider.Device);
        _allocator = new OrtAllocator(session, Info);
    }

    public OrtMemoryInfo Info { get; }

    /// <summary>Inputs and outputs keep their places in this memory from run to run: see <see cref="GpuProvider.Records"/>.</summary>
    public bool IsFixed { get; }

    /// <summary>True for an output that is not copied to the host.</summary>
    public bool Holds(Port output) => _resident.Contains(output.Name, StringComparer.Ordinal);

    public OrtValue Allocate(Port port, long[] shape) => OrtValue.CreateAllocatedTensorValue(_allocator, port.Type.Element, shape);

    /// <summary>Before <see cref="Upload"/> and <see cref="Download"/>, on the thread that calls them.</summary>
    public void Enter() => CudaDriver.Enter(_index);

    public static void Upload(OrtValue target, ReadOnlySpan<byte> source) => CudaDriver.Upload(Address(target), source);

    public static void Download(Span<byte> target, OrtValue source) => CudaDriver.Download(target, Address(source));

    /// <summary>Where a value lies in the GPU's memory: the span is never read.</summary>
    private static unsafe nint Address(OrtValue value)
    {
        fixed (byte* address = value.GetTensorMutableRawData())
            return (nint)address;
    }

    public void Dispose()
    {
        _allocator.Dispose();
        Info.Dispose();
    }
}
