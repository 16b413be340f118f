using Microsoft.ML.OnnxRuntime;

namespace QuantSdk.Runtime;

/// <summary>
/// An output's memory. Where the shape is known beforehand it is ours; else it is what ONNX Runtime allocated in the first run,
/// written again in every later one, or, where the shape changes from run to run, what it allocated in the last run. It may lie in a GPU's
/// memory: then only another session reads it.
/// </summary>
internal sealed class BoundOutput : IDisposable
{
    private NativeBuffer? _buffer;
    private readonly bool _mirrored;
    private bool _varies;

    /// <param name="device">Where the output lies; null for the host's memory.</param>
    /// <param name="mirrored">It is copied to the host after each run.</param>
    public BoundOutput(Port port, long[]? shape, DeviceMemory? device, bool mirrored = false)
    {
        (Port, Device, _mirrored) = (port, device, mirrored);
        IsStatic = port.Shape.Length > 0 && Array.TrueForAll(port.Shape, dimension => dimension >= 0);
        Shape = shape ?? [];
        if (shape is null)
            return;
        if (device is not null)
        {
            Value = device.Allocate(port, shape);
            return;
        }
        _buffer = new NativeBuffer((long)TensorShape.Count(shape, port.Type) * port.Type.Bytes);
        Value = OrtValue.CreateTensorValueWithData(OrtMemoryInfo.DefaultInstance, port.Type.Element, shape, _buffer.Address, _buffer.Length);
    }

    public Port Port { get; }

    public DeviceMemory? Device { get; }

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

    /// <exception cref="QuantSdkException">QSDK7052: it lies in a GPU's memory.</exception>
    public ReadOnlySpan<byte> Bytes =>
        Device is not null && !_mirrored ? throw new QuantSdkException("QSDK7052", $"'{Port.Name}' stays in the GPU's memory, where the live part reads it; the app cannot. Read the model's own outputs; leave Extrapolate out of the cache schedule, which works on the host.")
        : _buffer is not null ? _buffer.AsSpan<byte>() : Value!.GetTensorMutableRawData();

    /// <summary>Copies the output to the host, where it is read there and lies on the GPU.</summary>
    public void Download()
    {
        if (!_mirrored)
            return;
        var bytes = (long)TensorShape.Count(Shape, Port.Type) * Port.Type.Bytes;
        if (_buffer?.Length != bytes)
        {
            _buffer?.Dispose();
            _buffer = new NativeBuffer(bytes);
        }
        DeviceMemory.Download(_buffer.AsSpan<byte>(), Value!);
    }

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
