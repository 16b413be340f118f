using QuantSdk.Onnx;
using QuantSdk.Planning;

namespace QuantSdk.Rewriting;

/// <summary>Smoothing written into what makes a tensor, where that is exact and costs nothing at run time.</summary>
internal sealed partial class QdqWriter
{
    private readonly HashSet<string> _dependent;
    private readonly HashSet<(string Node, string Tensor)> _smoothed;
    private readonly Dictionary<(string, bool), bool> _absorbable = [];

    /// <summary>
    /// True where the tensor comes from a LayerNormalization with constant scale and bias, or from sums and products with conditioning or
    /// constants (which have no extent along the tokens, so that work on them is small), and every reader is a layer that multiplies the factors into its weights.
    /// </summary>
    public bool CanAbsorb(string tensor, bool centred)
    {
        // Asked again for each reader, after the producer has changed.
        if (!_absorbable.TryGetValue((tensor, centred), out var can))
            _absorbable[(tensor, centred)] = can = IsAbsorbable(tensor, centred);
        return can;
    }

    private bool IsAbsorbable(string tensor, bool centred) =>
        !_view.IsOutput(tensor) && _view.Consumers(tensor).All(c => c.Input == 0 && _smoothed.Contains((c.Node.Label(), tensor))) && Absorbs(tensor, centred);

    private bool Absorbs(string tensor, bool centred) => _view.Producer(tensor) is { } producer && producer.OpType switch
    {
        "LayerNormalization" => producer.Output.Count == 1 && producer.Int("axis", -1) == -1 && producer.Input.Skip(1).All(i => i.Length > 0 && _view.Initializer(i) is { Dims.Count: 1 }),
        // A product cannot take up a difference.
        "Mul" => !centred && producer.Input.Count(IsSmall) == 1,
        "Add" => producer.Input.Count(IsSmall) == 1 && producer.Input.First(i => !IsSmall(i)) is var large && _view.OnlyConsumer(large) is not null && Absorbs(large, centred: false),
        _ => false,
    };

    private bool IsSmall(string tensor) => !_dependent.Contains(tensor);

    private void Absorb(string tensor, string stem, float[] factors, float[]? centres)
    {
        var producer = _view.Producer(tensor)!;
        if (producer.OpType == "LayerNormalization")
        {
            var scale = Values(producer.Input[1]);
            var bias = producer.Input.Count > 2 ? Values(producer.Input[2]) : new float[factors.Length];
            var (gamma, beta) = (Vector($"{stem}_gamma", [.. factors.Select((f, c) => (double)scale[c] / f)]), Vector($"{stem}_beta", [.. factors.Select((f, c) => (bias[c] - (double)(centres?[c] ?? 0)) / f)]));
            producer.Input[1] = gamma;
            if (producer.Input.Count > 2)
                producer.Input[2] = beta;
            else
                producer.Input.Add(beta);
            return;
        }
        var (small, large) = IsSmall(producer.Input[0]) ? (0, 1) : (1, 0);
        if (producer.OpType == "Add")
            Absorb(producer.Input[large], stem + "_product", factors, null);
        var source = producer.Input[small];
        var (place, name) = (source, source);
        if (centres is not null)
        {
            After(place, Onnx.Nodes.Create("Sub", "", [name, Vector($"{stem}_centre", [.. centres.Select(c => (double)c)])], [$"{stem}_centred"]));
            name = $"{stem}_centred";
        }
        After(place, Onnx.Nodes.Create("Mul", "", [name, Vector($"{stem}_smooth", [.. factors.Select(f => 1.0 / f)])], [$"{stem}_absorbed"]));
        producer.Input[small] = $"{stem}_absorbed";
    }
}
