using Microsoft.ML.OnnxRuntime;

namespace QuantSdk.Runtime;

/// <summary>An input's memory, its own or lent, and the value by which ONNX Runtime knows it.</summary>
internal sealed class BoundInput : IDisposable
{
    private readonly NativeBuffer? _buffer;

    public BoundInput(Port port, long[] shape)
    {
        (Port, Shape) = (port, shape);
        _buffer = new NativeBuffer((long)TensorShape.Count(shape, port.Type) * port.Type.Bytes);
        Value = OrtValue.CreateTensorValueWithData(OrtMemoryInfo.DefaultInstance, port.Type.Element, shape, _buffer.Address, _buffer.Length);
    }

    /// <summary>An input that reads memory of somebody else, who also frees it.</summary>
    public BoundInput(Port port, long[] shape, OrtValue lent) => (Port, Shape, Value) = (port, shape, lent);

    public Port Port { get; }

    public long[] Shape { get; }

    public OrtValue Value { get; private set; }

    public Span<T> AsSpan<T>()
        where T : unmanaged => _buffer is not null ? _buffer.AsSpan<T>() : System.Runtime.InteropServices.MemoryMarshal.Cast<byte, T>(Value.GetTensorMutableRawData());

    /// <summary>Reads other lent memory from now on; false if it is the same.</summary>
    public bool Lend(OrtValue lent)
    {
        if (ReferenceEquals(Value, lent))
            return false;
        Value = lent;
        return true;
    }

    public void Dispose()
    {
        if (_buffer is null)
            return;
        Value.Dispose();
        _buffer.Dispose();
    }
}
