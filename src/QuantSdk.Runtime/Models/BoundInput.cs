using Microsoft.ML.OnnxRuntime;

namespace QuantSdk.Runtime;

/// <summary>An input's memory and the value by which ONNX Runtime knows it.</summary>
internal sealed class BoundInput : IDisposable
{
    public BoundInput(Port port, long[] shape)
    {
        (Port, Shape) = (port, shape);
        Buffer = new NativeBuffer((long)TensorShape.Count(shape, port.Type) * port.Type.Bytes);
        Value = OrtValue.CreateTensorValueWithData(OrtMemoryInfo.DefaultInstance, port.Type.Element, shape, Buffer.Address, Buffer.Length);
    }

    public Port Port { get; }

    public long[] Shape { get; }

    public NativeBuffer Buffer { get; }

    public OrtValue Value { get; }

    public void Dispose()
    {
        Value.Dispose();
        Buffer.Dispose();
    }
}
