using QuantSdk.Runtime;

namespace QuantSdk.Calibration;

/// <summary>Watches the channels of several tensors; each tensor is one work item.</summary>
internal sealed class ChannelObservers(IReadOnlyDictionary<string, ChannelLayout> layouts, int threads)
{
    private readonly string[] _tensors = [.. layouts.Keys.Order(StringComparer.Ordinal)];
    private readonly ChannelObserver[] _observers = [.. layouts.OrderBy(l => l.Key, StringComparer.Ordinal).Select(l => new ChannelObserver(l.Value, Capacity(l.Value.Channels)))];

    /// <summary>Positions kept: about half a megabyte a tensor.</summary>
    private static int Capacity(int channels) => Math.Clamp((1 << 17) / channels, 256, 2048);

    /// <summary>Adds what a run has left in the outputs (or inputs) of a binding.</summary>
    public unsafe void Observe(ModelBinding binding, int rows)
    {
        var views = new (nint Address, int Length)[_tensors.Length];
        for (var t = 0; t < _tensors.Length; t++)
        {
            var values = binding.Values(_tensors[t]);
            fixed (float* first = values)
                views[t] = ((nint)first, values.Length);
        }
        Parallel.For(0, _tensors.Length, new ParallelOptions { MaxDegreeOfParallelism = threads }, t =>
            _observers[t].Add(new ReadOnlySpan<float>((void*)views[t].Address, views[t].Length), rows));
    }

    public IReadOnlyDictionary<string, ChannelSample> Finish() => _tensors.Zip(_observers).ToDictionary(o => o.First, o => o.Second.Finish(), StringComparer.Ordinal);
}
