using Microsoft.ML.OnnxRuntime;
using QuantSdk.Runtime;

namespace QuantSdk.Caching.Schedules;

/// <summary>A copy of the cached tensors of one step.</summary>
internal sealed class Features : IDisposable
{
    private readonly List<(string Name, NativeBuffer Buffer, OrtValue Value)> _tensors = [];

    /// <param name="binding">The whole engine, after a run.</param>
    public Features(ModelBinding binding, IReadOnlyList<TensorInfo> tensors)
    {
        foreach (var tensor in tensors)
        {
            var value = binding.Value(tensor.Name);
            var info = value.GetTensorTypeAndShape();
            var buffer = new NativeBuffer(value.GetTensorMutableRawData().Length);
            _tensors.Add((tensor.Name, buffer, OrtValue.CreateTensorValueWithData(OrtMemoryInfo.DefaultInstance, info.ElementDataType, info.Shape, buffer.Address, buffer.Length)));
        }
    }

    /// <summary>Takes what the engine's last run has left.</summary>
    public void Keep(ModelBinding binding)
    {
        foreach (var (name, buffer, _) in _tensors)
            binding.Value(name).GetTensorMutableRawData().CopyTo(buffer.AsSpan<byte>());
    }

    /// <summary>Makes the live part read these tensors.</summary>
    public void Lend(ModelBinding live)
    {
        foreach (var (name, _, value) in _tensors)
            live.Lend(name, value);
    }

    public void Dispose()
    {
        foreach (var (_, buffer, value) in _tensors)
        {
            value.Dispose();
            buffer.Dispose();
        }
    }
}
