using QuantSdk.Onnx;
using QuantSdk.Planning;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Rewriting;

/// <summary>
/// Smoothing at no cost where a linear layer further up makes the channels: x/factor is what comes out when its weights and bias are
/// divided, through attention (linear in v), gated products and the scale and bias behind a normalisation (SmoothQuant, Xiao et al.
/// 2023, section 4: "fuse into the previous layer's parameters offline").
/// </summary>
internal sealed class ProducerAbsorption
{
    private readonly GraphView _view;
    private readonly HashSet<string> _fixed;

    private ProducerAbsorption(GraphView view, RoundedWeights rounded) => (_view, _fixed) = (view, [.. rounded.Layers.Keys]);

    /// <summary>Divides weights and biases of <paramref name="model"/> by the factors of what they lead to.</summary>
    /// <param name="layers">The layers that will be written.</param>
    /// <returns>The model, and the tensors that are divided by their factors in it.</returns>
    public static (OnnxModel Model, IReadOnlySet<string> Divided) Apply(OnnxModel model, IReadOnlyList<LayerPlan> layers, RoundedWeights? rounded)
    {
        var proto = model.Proto.Clone();
        var absorption = new ProducerAbsorption(new GraphView(proto.Graph), rounded ?? RoundedWeights.None);
        var readers = layers.ToLookup(l => l.Activation.Tensor, StringComparer.Ordinal);
        var divided = new HashSet<string>(StringComparer.Ordinal);
        foreach (var tensor in readers.Where(r => r.All(l => l is { Output: null, Activation: { Format: "int8", Smoothed: not null } })))
        {
            var factors = tensor.First().Activation.Smoothed!.Factors;
            if (Array.TrueForAll(factors, f => f == 1) || !absorption.OnlyRead(tensor.Key, tensor.Select(l => l.Node)) || absorption.Above(tensor.Key, new Place(0, factors.Length, factors.Length, false, false)) is not { } parameters)
                continue;
            foreach (var parameter in parameters)
                parameter.Divide(factors);
            divided.Add(tensor.Key);
        }
        return divided.Count == 0 ? (model, divided) : (model with { Proto = proto }, divided);
    }

    /// <summary>Where in a tensor the channels are.</summary>
    /// <param name="First">The first of them.</param>
    /// <param name="Size">Extent of the axis; 0: not known, but more than the channels.</param>
    /// <param name="Reshaped">True where a Reshape was passed: what is above must have an axis of exactly this size.</param>
    /// <param name="Second">Axis 1 of four, as convolutions have it; else the last axis.</param>
    /// <param name="Count">How many they are.</param>
    private readonly record struct Place(int First, int Size, int Count, bool Reshaped, bool Second)
    {
        /// <summary>True for the size that the axis can have. Where a part of an axis was taken, a larger size proves that it was this axis.</summary>
        public bool Fits(long size) => Size == 0 ? size > Count && First + Count <= size : size == Size;
    }

    /// <summary>A constant with an axis of output channels.</summary>
    /// <param name="Inner">Elements of one channel that follow each other.</param>
    private sealed record Parameter(TensorProto Tensor, int First, int Size, int Inner)
    {
        public void Divide(float[] factors)
        {
            var values = Tensor.ToFloats();
            for (var i = 0; i < values.Length; i++)
            {
                var channel = (i / Inner % Size) - First;
                if (channel >= 0 && channel < factors.Length)
                    values[i] /= factors[channel];
            }
            var divided = Tensors.Create(Tensor.Name, values, [.. Tensor.Dims]);
            Tensor.FloatData.Clear();
            Tensor.RawData = divided.RawData;
        }
    }

    private bool OnlyRead(string tensor, IEnumerable<string> layers)
    {
        var names = layers.ToHashSet(StringComparer.Ordinal);
        return !_view.IsOutput(tensor) && _view.Consumers(tensor).All(c => c.Input == 0 && names.Contains(c.Node.Label()));
    }

    /// <summary>The constants to divide so that the channels of a tensor are divided, or null.</summary>
    private Parameter[]? Above(string tensor, Place place) => _view.Producer(tensor) is not { } node ? null : node.OpType switch
    {
        "MultiHeadAttention" when node.Domain == FloatFusions.Domain && node.Output.Count == 1 && (node.Input.Count < 4 || node.Input[3].Length == 0) => Only(node, 2, place),
        "Cast" when node.Int("to", 0) == (long)DataType.Float => Only(node, 0, place),
        "Reshape" when !place.Reshaped && place.First == 0 && !place.Second => Only(node, 0, place with { Reshaped = true }),
        "Transpose" when !place.Second && AttentionFusion.IsTranspose(node, 0, 2, 3, 1) => Only(node, 0, place with { Second = true }),
        "Split" when place is { Second: false, Reshaped: false, First: 0 } && Part(node, tensor, place.Size) is { } part => Only(node, 0, part, outputs: true),
        "Slice" when place is { Second: false, Reshaped: false, First: 0 } && Cut(node) is (var from, var to, _) && to - from == place.Size && Disjoint(node) => Above(node.Input[0], new Place((int)from, 0, place.Count, false, false)),
        "Mul" when place.Second => Constant(node, place) is var (gain, _) ? [gain] : null,
        "Mul" when _view.Initializer(node.Input[0]) is null && _view.Initializer(node.Input[1]) is null => node.Input[0] == node.Input[1] ? null : Only(node, 0, place) ?? Only(node, 1, place),
        "Add" when Constant(node, place) is var (bias, other) => Only(node, other, place with { Size = bias.Size }) is { } above ? [bias, .. above] : null,
        "MatMul" or "Gemm" when !place.Second => Linear(node, place),
        _ => null,
    };

    /// <summary>What is above an input that nothing else reads.</summary>
    private Parameter[]? Only(NodeProto node, int input, Place place, bool outputs = false) =>
        _view.OnlyConsumer(node.Input[input]) == node && (outputs || node.Output.Count == 1) && node.Input.Count(i => i == node.Input[input]) == 1 ? Above(node.Input[input], place) : null;

    private Parameter[]? Linear(NodeProto node, Place place)
    {
        // Codes that were searched for are for the weights as they were.
        if (_fixed.Contains(node.Label()) || Own(node.Input[1]) is not { Dims.Count: 2 } weight)
            return null;
        var axis = node.Is("Gemm") && node.Int("transB", 0) != 0 ? 0 : 1;
        if (!place.Fits(weight.Dims[axis]))
            return null;
        var size = (int)weight.Dims[axis];
        var parameter = new Parameter(weight, place.First, size, axis == 0 ? (int)weight.Dims[1] : 1);
        if (node.Is("MatMul") || node.Input.Count < 3 || node.Input[2].Length == 0)
            return [parameter];
        return Own(node.Input[2]) is { } bias && bias.Count() == size ? [parameter, new Parameter(bias, place.First, size, 1)] : null;
    }

    /// <summary>The operand of an Add or Mul that is one constant a channel, and which operand is the other.</summary>
    private (Parameter Parameter, int Other)? Constant(NodeProto node, Place place)
    {
        for (var i = 0; i < 2; i++)
        {
            if (Own(node.Input[i]) is not { } tensor || !place.Fits(tensor.Count()))
                continue;
            var dims = tensor.Dims.SkipWhile(d => d == 1).ToArray();
            if (place.Second ? tensor.Dims.Count is 3 or 4 && dims is [_, 1, 1] : dims is [_])
                return (new Parameter(tensor, place.First, (int)tensor.Count(), 1), 1 - i);
        }
        return null;
    }

    private long? Number(string name) => _view.Initializer(name) is { DataType: (int)DataType.Int64 or (int)DataType.Int32 } tensor && tensor.ToInt64s() is [var number] ? number : null;

    /// <summary>A float constant that one node alone reads.</summary>
    private TensorProto? Own(string name) => _view.Initializer(name) is { DataType: (int)DataType.Float } tensor && _view.OnlyConsumer(name) is not null ? tensor : null;

    /// <summary>The part that a Slice with constant ends takes, and of which axis.</summary>
    private (long From, long To, long Axis)? Cut(NodeProto slice) =>
        slice.Input.Count is 4 or 5 && Number(slice.Input[1]) is { } from and >= 0 && Number(slice.Input[2]) is { } to && to > from && Number(slice.Input[3]) is { } axis && (slice.Input.Count == 4 || Number(slice.Input[4]) == 1) ? (from, to, axis) : null;

    /// <summary>True where everything that reads what a Slice reads takes another part of it.</summary>
    private bool Disjoint(NodeProto slice)
    {
        var (from, to, axis) = Cut(slice)!.Value;
        var source = slice.Input[0];
        return !_view.IsOutput(source) && _view.Consumers(source).All(c => c.Node == slice || (c.Node.Is("Slice") && c.Input == 0 && Cut(c.Node) is var (f, t, a) && a == axis && (t <= from || f >= to)));
    }

    /// <summary>Which channels of the whole one output of a Split along the last axis is.</summary>
    private Place? Part(NodeProto split, string tensor, int size)
    {
        if (split.Int("axis", 0) != -1)
            return null;
        var index = split.Output.IndexOf(tensor);
        if (split.Input.Count < 2 || split.Input[1].Length == 0)
            return new Place(index * size, split.Output.Count * size, size, false, false);
        if (_view.Initializer(split.Input[1]) is not { } sizes || sizes.DataType != (int)DataType.Int64)
            return null;
        var lengths = sizes.ToInt64s();
        return lengths[index] == size ? new Place((int)lengths.Take(index).Sum(), (int)lengths.Sum(), size, false, false) : null;
    }
}
