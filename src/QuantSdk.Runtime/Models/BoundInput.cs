using Microsoft.ML.OnnxRuntime;

namespace QuantSdk.Runtime;

/// <summary>An input's memory, its own or lent, and the value by which ONNX Runtime knows it.</summary>
internal sealed class BoundInput : IDisposable
{
    private readonly NativeBuffer? _buffer;
    private readonly BoundInput? _lender;
    private readonly OrtValue? _device;
    private OrtValue? _value;
    private bool _open;
    private int _writes, _uploaded = -1;

    /// <param name="device">Where the input lies for the model, beside the host's memory; null: nowhere else.</param>
    public BoundInput(Port port, long[] shape, DeviceMemory? device = null)
    {
        _device = device?.Allocate(port, shape);
        (Port, Shape) = (port, shape);
        _buffer = new NativeBuffer((long)TensorShape.Count(shape, port.Type) * port.Type.Bytes);
        _value = OrtValue.CreateTensorValueWithData(OrtMemoryInfo.DefaultInstance, port.Type.Element, shape, _buffer.Address, _buffer.Length);
    }

    /// <summary>An input that reads memory of somebody else, who also frees it.</summary>
    public BoundInput(Port port, long[] shape, OrtValue lent) => (Port, Shape, _value) = (port, shape, lent);

    /// <summary>An input that reads what another model's input reads.</summary>
    public BoundInput(Port port, BoundInput lender) => (Port, Shape, _lender) = (port, lender.Shape, lender);

    public Port Port { get; }

    public long[] Shape { get; }

    public OrtValue Value => _lender?.Value ?? _device ?? _value!;

    /// <summary>A span over the memory was handed out: it may be written before any run.</summary>
    public bool IsOpen => _lender?.IsOpen ?? _open;

    /// <summary>How often the memory was written otherwise, or replaced.</summary>
    public int Writes => _lender?.Writes ?? _writes;

    /// <summary>The memory, to be written at any time from now on.</summary>
    public Span<T> Open<T>()
        where T : unmanaged
    {
        _open = true;
        return AsSpan<T>();
    }

    /// <summary>Copies what was written into the GPU's memory, where the model reads it there.</summary>
    /// <returns>Whether anything was copied.</returns>
    public bool Upload()
    {
        if (_lender is not null)
            return _lender.Upload();
        if (_device is null || !_open && _uploaded == _writes)
            return false;
        DeviceMemory.Upload(_device, _buffer!.AsSpan<byte>());
        _uploaded = _writes;
        return true;
    }

    /// <summary>Copies into the memory.</summary>
    public void Write(ReadOnlySpan<byte> bytes)
    {
        _writes++;
        bytes.CopyTo(AsSpan<byte>());
    }

    /// <summary>True where the memory holds these bytes, and nobody else may write it.</summary>
    public bool Keeps(ReadOnlySpan<byte> bytes) => !IsOpen && AsSpan<byte>().SequenceEqual(bytes);

    /// <summary>Reads other lent memory from now on.</summary>
    public void Lend(OrtValue lent)
    {
        if (ReferenceEquals(Value, lent))
            return;
        _value = lent;
        _writes++;
    }

    public void Dispose()
    {
        if (_buffer is null)
            return;
        _device?.Dispose();
        _value!.Dispose();
        _buffer.Dispose();
    }

    private Span<T> AsSpan<T>()
        where T : unmanaged => _buffer is not null ? _buffer.AsSpan<T>() : _lender is not null ? _lender.AsSpan<T>() : System.Runtime.InteropServices.MemoryMarshal.Cast<byte, T>(Value.GetTensorMutableRawData());
}
