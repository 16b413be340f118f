using Microsoft.ML.OnnxRuntime;

namespace QuantSdk.Runtime;

/// <summary>
/// An output's memory. Where the shape is known beforehand it is ours; else it is what ONNX Runtime allocated in the first run,
/// written again in every later one, or, where the shape changes from run to run, what it allocated in the last run.
/// </summary>
internal sealed class BoundOutput : IDisposable
{
    private NativeBuffer? _buffer;
    private bool _varies;

    public BoundOutput(Port port, long[]? shape)
    {
        Port = port;
        IsStatic = port.Shape.Length > 0 && Array.TrueForAll(port.Shape, dimension => dimension >= 0);
        Shape = shape ?? [];
        if (shape is null)
            return;
        _buffer = new NativeBuffer((long)TensorShape.Count(shape, port.Type) * port.Type.Bytes);
        Value = OrtValue.CreateTensorValueWithData(OrtMemoryInfo.DefaultInstance, port.Type.Element, shape, _buffer.Address, _buffer.Length);
    }

    public Port Port { get; }

    /// <summary>The graph itself fixes the shape.</summary>
    public bool IsStatic { get; }

    public long[] Shape { get; private set; }

    /// <summary>The last run has written the output.</summary>
    public bool Ready { get; set; }

    /// <summary>Where the output's content is.</summary>
    public OrtValue? Value { get; private set; }

    /// <summary>Where the next run shall write, or null to let ONNX Runtime allocate.</summary>
    public OrtValue? Target => _varies ? null : Value;

    /// <summary>A run leaves a value that must be received.</summary>
    public bool NeedsValue => Target is null;

    public ReadOnlySpan<byte> Bytes => _buffer is not null ? _buffer.AsSpan<byte>() : Value!.GetTensorMutableRawData();

    /// <summary>Takes over the value that a run has left.</summary>
    public void Receive(OrtValue value)
    {
        Value?.Dispose();
        Value = value;
        Shape = value.GetTensorTypeAndShape().Shape;
    }

    /// <summary>From now on every run allocates the output.</summary>
    public void Vary()
    {
        Dispose();
        _varies = true;
    }

    /// <summary>Takes <see cref="Vary"/> back: the next run's value is kept.</summary>
    public void Settle() => _varies = false;

    public void Dispose()
    {
        Ready = false;
        Value?.Dispose();
        _buffer?.Dispose();
        (Value, _buffer) = (null, null);
    }
}
