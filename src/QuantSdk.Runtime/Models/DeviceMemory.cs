using Microsoft.ML.OnnxRuntime;

namespace QuantSdk.Runtime;

/// <summary>A GPU's memory as one session allocates it.</summary>
internal sealed class DeviceMemory : IDisposable
{
    private readonly OrtAllocator _allocator;
    private readonly IReadOnlyList<string> _resident;

    public DeviceMemory(InferenceSession session, GpuProvider provider)
    {
        (Info, _resident) = (provider.Memory(), provider.Resident);
        _allocator = new OrtAllocator(session, Info);
    }

    public OrtMemoryInfo Info { get; }

    /// <summary>True for an output that is not copied to the host.</summary>
    public bool Holds(Port output) => _resident.Contains(output.Name, StringComparer.Ordinal);

    public OrtValue Allocate(Port port, long[] shape) => OrtValue.CreateAllocatedTensorValue(_allocator, port.Type.Element, shape);

    public void Dispose()
    {
        _allocator.Dispose();
        Info.Dispose();
    }
}
