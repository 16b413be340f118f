using QuantSdk.Numerics;
using QuantSdk.Onnx;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Engines.Streaming;

/// <summary>A weight behind what exporters put between it and its product.</summary>
/// <param name="Source">The initializer.</param>
/// <param name="Transposed">True behind a Transpose of a matrix.</param>
/// <param name="Scales">The type the product computes in.</param>
internal sealed record ResolvedWeight(TensorProto Source, bool Transposed, ScaleType Scales);

/// <summary>
/// A graph without its weights' values as the planning stages want to see it: weights of any float type, transposed or cast on their
/// way, appear as float initializers of the shape in which they are multiplied.
/// </summary>
internal sealed class WeightView
{
    private readonly GraphView _view;

    public WeightView(OnnxModel model)
    {
        _view = new GraphView(model.Graph);
        var proto = model.Proto.Clone();
        var initializers = proto.Graph.Initializer.ToDictionary(t => t.Name, StringComparer.Ordinal);
        foreach (var node in model.Graph.Node.Where(Planning.Placement.IsProduct))
        {
            if (node.Input.Count < 2 || Resolve(node.Input[1]) is not { } weight)
                continue;
            if (!initializers.TryGetValue(node.Input[1], out var tensor))
                proto.Graph.Initializer.Add(initializers[node.Input[1]] = tensor = new TensorProto { Name = node.Input[1] });
            tensor.Dims.Clear();
            tensor.Dims.Add(weight.Transposed ? weight.Source.Dims.Reverse() : weight.Source.Dims);
            tensor.DataType = (int)DataType.Float;
        }
        Planned = model with { Proto = proto };
    }

    /// <summary>For the planning stages; the values of weights are not there.</summary>
    public OnnxModel Planned { get; }

    /// <summary>The initializer that becomes <paramref name="tensor"/>, or null where none of 16 or 32 bits does.</summary>
    public ResolvedWeight? Resolve(string tensor)
    {
        var transposed = false;
        int? type = null;
        while (true)
        {
            if (_view.Initializer(tensor) is { } source)
                return Type(type ?? source.DataType) is { } scales && Type(source.DataType) is not null ? new ResolvedWeight(source, transposed, scales) : null;
            if (_view.Producer(tensor) is not { } node)
                return null;
            if (node.Is("Transpose") && _view.Initializer(node.Input[0]) is { Dims.Count: 2 } or null && node.Attribute("perm")?.Ints is null or [1, 0])
                transposed = !transposed;
            else if (node.Is("Cast"))
                type ??= (int)node.Int("to", 0);
            else if (!node.Is("Identity"))
                return null;
            tensor = node.Input[0];
        }
    }

    private static ScaleType? Type(int type) => (DataType)type switch
    {
        DataType.Float => ScaleType.Float,
        DataType.Float16 => ScaleType.Half,
        DataType.Bfloat16 => ScaleType.BFloat,
        _ => null,
    };
}
