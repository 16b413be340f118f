using Microsoft.ML.OnnxRuntime;

namespace QuantSdk.Runtime;

/// <summary>An input's memory, its own or lent, and the value by which ONNX Runtime knows it.</summary>
internal sealed class BoundInput : IDisposable
{
    private readonly NativeBuffer? _buffer;
    private readonly BoundInput? _lender;
    private OrtValue? _value;
    private bool _open;
    private int _writes;

    public BoundInput(Port port, long[] shape)
    {
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

    public OrtValue Value => _lender?.Value ?? _value!;

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
        _value!.Dispose();
        _buffer.Dispose();
    }

    private Span<T> AsSpan<T>()
        where T : unmanaged => _buffer is not null ? _buffer.AsSpan<T>() : System.Runtime.InteropServices.MemoryMarshal.Cast<byte, T>(Value.GetTensorMutableRawData());
}
