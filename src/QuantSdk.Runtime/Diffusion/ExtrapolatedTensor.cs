using System.Numerics;
using System.Numerics.Tensors;
using Microsoft.ML.OnnxRuntime;

namespace QuantSdk.Runtime;

/// <summary>
/// A cached tensor on the line through its last two full steps (TaylorSeer, 2503.06923, order 1): F + s·(F − F′)·k/N. Costs two more tensors of its size.
/// </summary>
internal sealed class ExtrapolatedTensor : IDisposable
{
    private readonly Port _port;
    private readonly NativeBuffer _previous, _result;
    private readonly OrtValue _value;

    /// <param name="binding">The full model after a run.</param>
    /// <param name="port">The tensor as the live part's input.</param>
    public ExtrapolatedTensor(ModelBinding binding, Port port)
    {
        if (port.Type.Name is not ("float" or "float16"))
            throw new QuantSdkException("QSDK7050", $"The cached tensor '{port.Name}' holds {port.Type.Name}; only float and float16 can be extrapolated. Leave Extrapolate out.");
        _port = port;
        var shape = binding.OutputShape(port.Name).ToArray();
        var bytes = (long)TensorShape.Count(shape, port.Type) * port.Type.Bytes;
        (_previous, _result) = (new NativeBuffer(bytes), new NativeBuffer(bytes));
        _value = OrtValue.CreateTensorValueWithData(OrtMemoryInfo.DefaultInstance, port.Type.Element, shape, _result.Address, bytes);
    }

    /// <summary>Keeps F as F′, before the full model overwrites it.</summary>
    public void Keep(ModelBinding binding)
    {
        if (_port.Type.Type == typeof(float))
            binding.Output<float>(_port.Name).CopyTo(_previous.AsSpan<float>());
        else
            binding.Output<Half>(_port.Name).CopyTo(_previous.AsSpan<Half>());
    }

    /// <param name="share">s·k/N: steps since the last full one over those between it and the one before, times the strength.</param>
    public OrtValue At(ModelBinding binding, float share)
    {
        if (_port.Type.Type == typeof(float))
            Extrapolate(binding.Output<float>(_port.Name), share);
        else
            Extrapolate(binding.Output<Half>(_port.Name), (Half)share);
        return _value;
    }

    public void Dispose()
    {
        _value.Dispose();
        _previous.Dispose();
        _result.Dispose();
    }

    private void Extrapolate<T>(ReadOnlySpan<T> last, T share)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        var result = _result.AsSpan<T>();
        TensorPrimitives.Subtract(last, _previous.AsSpan<T>(), result);
        TensorPrimitives.MultiplyAdd(result, share, last, result);
    }
}
