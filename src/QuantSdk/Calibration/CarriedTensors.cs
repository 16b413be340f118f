using QuantSdk.Runtime;

namespace QuantSdk.Calibration;

/// <summary>What a cached sampler carries from its full steps to the ones after them, while a model that takes them as inputs is run in batches; nothing for any other model.</summary>
internal sealed class CarriedTensors
{
    /// <summary>The input that says whether the cached tensors are used: one bool.</summary>
    public const string Flag = "quantsdk_cached_step";

    /// <summary>What the input that brings a cached tensor of an earlier step is called: the output that it was, with this behind.</summary>
    public const string Before = "_quantsdk_before";

    /// <summary>Steps from one full step to the next while calibrating.</summary>
    public const int Interval = 3;

    private readonly Port[] _ports;
    private readonly Dictionary<string, float[]> _values = new(StringComparer.Ordinal);
    private bool _cached;

    public CarriedTensors(ModelSession session) =>
        _ports = session.Inputs.Any(i => i.Name == Flag) ? [.. session.Inputs.Where(i => i.Name.EndsWith(Before, StringComparison.Ordinal))] : [];

    /// <summary>True for an input that is fed here.</summary>
    public bool Feeds(string input) => _ports.Length > 0 && (input == Flag || _ports.Any(p => p.Name == input));

    public IEnumerable<KeyValuePair<string, long[]>> Shapes(int rows) =>
        _ports.Length == 0 ? [] : _ports.Select(p => KeyValuePair.Create<string, long[]>(p.Name, [rows, .. p.Shape.Skip(1)])).Append(new(Flag, [1]));

    /// <summary>Before the batches of a step.</summary>
    public void Begin(int step) => _cached = step % Interval != 0;

    /// <summary>Before a batch.</summary>
    public void Fill(ModelBinding binding, int start, int count)
    {
        if (_ports.Length == 0)
            return;
        binding.Input<bool>(Flag)[0] = _cached;
        foreach (var port in _ports.Where(_ => _cached))
        {
            var target = binding.Input<float>(port.Name);
            _values[port.Name].AsSpan(target.Length / count * start, target.Length).CopyTo(target);
        }
    }

    /// <summary>After a batch.</summary>
    /// <param name="rows">Of the whole step.</param>
    public void Keep(ModelBinding binding, int start, int count, int rows)
    {
        foreach (var port in _ports.Where(_ => !_cached))
        {
            var value = binding.OutputFloats(port.Name[..^Before.Length]);
            if (!_values.TryGetValue(port.Name, out var all))
                _values[port.Name] = all = new float[value.Length / count * rows];
            value.CopyTo(all.AsSpan(value.Length / count * start));
        }
    }
}
