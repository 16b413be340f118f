using QuantSdk.Numerics;
using QuantSdk.Onnx;
using QuantSdk.Planning;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Rewriting;

/// <summary>Adds QuantizeLinear/DequantizeLinear nodes to a copy of a graph: one pair a tensor and grid, weights as int8 with DequantizeLinear alone.</summary>
internal sealed partial class QdqWriter
{
    /// <summary>What is appended to a stem.</summary>
    private static readonly string[] s_suffixes = ["_q", "_dq", "_scale", "_scales", "_zeros", "_centre", "_centred", "_smooth", "_smoothed", "_absorbed", "_half", "_float"];

    private readonly GraphView _view;
    private readonly SameVectors _vectors = new();
    private readonly Dictionary<NodeProto, List<NodeProto>> _after = new(ReferenceEqualityComparer.Instance);
    private readonly List<NodeProto> _first = [];
    private readonly List<TensorProto> _initializers = [];
    private readonly Dictionary<(string, Int8Grid, object?), string> _activations = [];
    private readonly Dictionary<(string, int, object?, object?, bool, object?), EncodedLayer> _weights = [];
    private readonly RoundedWeights _rounded;
    private readonly bool _negativeScales;
    private readonly HashSet<string> _names = new(StringComparer.Ordinal);
    private readonly Dictionary<string, string> _constants = new(StringComparer.Ordinal);

    /// <param name="layers">The layers that will be written; every other reader of their tensors goes on in float.</param>
    /// <param name="samples">The inputs that are the sample.</param>
    /// <param name="rounded">Codes that are decided already.</param>
    /// <param name="negativeScales">False where the target wants positive scales.</param>
    public QdqWriter(OnnxModel model, IEnumerable<LayerPlan> layers, IReadOnlyList<string> samples, RoundedWeights? rounded, bool negativeScales)
    {
        (_rounded, _negativeScales) = (rounded ?? RoundedWeights.None, negativeScales);
        Model = model.Proto.Clone();
        _view = new GraphView(Model.Graph);
        _dependent = _view.DependentOn(samples);
        _smoothed = layers.Where(l => l is { Output: null, Activation: { Format: "int8", Smoothed: not null } }).Select(l => (l.Node, l.Activation.Tensor)).ToHashSet();
        Nodes = Model.Graph.Node.ToDictionary(n => n.Label(), StringComparer.Ordinal);
        _names.UnionWith(Model.Graph.Node.SelectMany(n => n.Output).Concat(Model.Graph.Initializer.Select(t => t.Name)));
    }

    public ModelProto Model { get; }

    public IReadOnlyDictionary<string, NodeProto> Nodes { get; }

    /// <summary>Q and DQ after <paramref name="tensor"/>; returns the name of the dequantised tensor.</summary>
    public string Activation(string tensor, Int8Grid grid)
    {
        if (_activations.TryGetValue((tensor, grid, null), out var name))
            return name;
        var stem = Unique(tensor, "_q");
        AddPair(tensor, stem, grid, $"{stem}_dq");
        return _activations[(tensor, grid, null)] = $"{stem}_dq";
    }

    /// <summary>
    /// (x − centre)/factor on a grid of its own, computed by elementwise nodes; <paramref name="last"/> says where the channels are.
    /// The factors are then part of what reads it.
    /// </summary>
    public string Smoothed(string tensor, Int8Grid grid, float[] factors, float[]? centres, bool last)
    {
        factors = _vectors.Same(factors);
        if (_activations.TryGetValue((tensor, grid, factors), out var name))
            return name;
        var stem = Unique(tensor, "_q");
        var source = tensor;
        if (last && CanAbsorb(tensor, centres is not null))
        {
            Absorb(tensor, stem, factors, centres);
            AddPair(tensor, stem, grid, $"{stem}_dq");
            return _activations[(tensor, grid, factors)] = $"{stem}_dq";
        }
        if (centres is not null)
        {
            _initializers.Add(Channels($"{stem}_centre", centres));
            After(tensor, Onnx.Nodes.Create("Sub", "", [source, $"{stem}_centre"], [$"{stem}_centred"]));
            source = $"{stem}_centred";
        }
        if (factors.Any(f => f != 1))
        {
            _initializers.Add(Channels($"{stem}_smooth", Array.ConvertAll(factors, f => 1 / f)));
            After(tensor, Onnx.Nodes.Create("Mul", "", [source, $"{stem}_smooth"], [$"{stem}_smoothed"]));
            source = $"{stem}_smoothed";
        }
        AddPair(tensor, stem, grid, $"{stem}_dq", source);
        return _activations[(tensor, grid, factors)] = $"{stem}_dq";

        TensorProto Channels(string n, float[] values) => last ? Tensors.Vector(n, values) : Tensors.Create(n, values, [1, values.Length, .. Enumerable.Repeat(1L, SpatialDims(tensor))]);
    }

    /// <summary>x/factor on one grid, by a QuantizeLinear with a scale for each channel of axis 1: smoothing at no cost.</summary>
    public string SmoothedByChannel(string tensor, Int8Grid grid, float[] factors)
    {
        factors = _vectors.Same(factors);
        if (_activations.TryGetValue((tensor, grid, factors), out var name))
            return name;
        var stem = Unique(tensor, "_q");
        _initializers.Add(Tensors.Vector($"{stem}_scales", Array.ConvertAll(factors, f => grid.Scale * f)));
        _initializers.Add(Tensors.Scalar($"{stem}_scale", grid.Scale));
        After(tensor, Onnx.Nodes.Create("QuantizeLinear", "", [tensor, $"{stem}_scales", ZeroPoints(grid.ZeroPoint, factors.Length)], [$"{stem}_q"]).With("axis", 1L));
        After(tensor, Onnx.Nodes.Create("DequantizeLinear", "", [$"{stem}_q", $"{stem}_scale", ZeroPoint(grid)], [$"{stem}_dq"]));
        return _activations[(tensor, grid, factors)] = $"{stem}_dq";
    }

    /// <summary>Q and DQ on a tensor for all its readers, which go on using its name.</summary>
    public void Output(string tensor, Int8Grid grid)
    {
        var raw = Detach(tensor);
        AddPair(tensor, Unique(tensor, "_q"), grid, tensor, raw);
        // Readers with the same grid find the pair that is there already.
        _activations[(tensor, grid, null)] = tensor;
    }

    /// <summary>
    /// One QuantizeLinear for a tensor whose producer already divides by the factors, and one DequantizeLinear with a scale (and zero
    /// point) for each channel of axis 1, which gives all its readers the tensor as it was.
    /// </summary>
    /// <param name="factors">Not null: readers that were smoothed by these take the codes on <paramref name="grid"/> itself.</param>
    public void Output(string tensor, Int8Grid grid, float[] scales, byte[] zeroPoints, float[]? factors)
    {
        factors = _vectors.Same(factors);
        var raw = Detach(tensor);
        var stem = Unique(tensor, "_q");
        _initializers.Add(Tensors.Scalar($"{stem}_scale", grid.Scale));
        _initializers.Add(Tensors.Vector($"{stem}_scales", scales));
        _initializers.Add(Tensors.Vector($"{stem}_zeros", zeroPoints));
        After(tensor, Onnx.Nodes.Create("QuantizeLinear", "", [raw, $"{stem}_scale", ZeroPoint(grid)], [$"{stem}_q"]));
        After(tensor, Onnx.Nodes.Create("DequantizeLinear", "", [$"{stem}_q", $"{stem}_scales", $"{stem}_zeros"], [tensor]).With("axis", 1L));
        if (factors is null)
            return;
        After(tensor, Onnx.Nodes.Create("DequantizeLinear", "", [$"{stem}_q", $"{stem}_scale", ZeroPoint(grid)], [$"{stem}_dq"]));
        _activations[(tensor, grid, factors)] = $"{stem}_dq";
    }

    /// <summary>Stores a layer's weight as int8, one scale a channel.</summary>
    /// <param name="factors">What input channels are multiplied by.</param>
    /// <param name="centres">What was subtracted from input channels.</param>
    /// <param name="divisors">What output channels are divided by; null: nothing.</param>
    public EncodedLayer Weight(LayerPlan layer, float[]? factors, float[]? centres, float[]? divisors)
    {
        (factors, divisors) = (_vectors.Same(factors), _vectors.Same(divisors));
        var key = (layer.Weight.Tensor, layer.Weight.Axis, (object?)factors, (object?)divisors, centres is not null, (object?)_rounded.Layers.GetValueOrDefault(layer.Node));
        var tensor = _view.Initializer(layer.Weight.Tensor)!;
        var shape = WeightShape.Of(layer.Op, layer.Weight.Axis, tensor.Dims, layer.Groups);
        if (_weights.TryGetValue(key, out var done))
        {
            // Layers that share a weight read other activations, and have other mean errors.
            var own = EncodedLayer.Encode(tensor, shape, layer.Weight, factors, layer.Activation.Means, centres, _rounded.Layers.GetValueOrDefault(layer.Node), _negativeScales);
            return done with { RoundingCorrection = own.RoundingCorrection, CentreCorrection = own.CentreCorrection };
        }
        var encoded = EncodedLayer.Encode(tensor, shape, layer.Weight, factors, layer.Activation.Means, centres, _rounded.Layers.GetValueOrDefault(layer.Node), _negativeScales);
        var scales = divisors is null ? encoded.Scales : [.. encoded.Scales.Zip(divisors, (s, d) => Math.Max(s / d, Int8Weights.LeastScale))];
        var stem = Unique(layer.Weight.Tensor, "_q");
        if (encoded.Grid is { } grid)
        {
            // Only convolutions, which have one scale an output channel, are divided.
            if (divisors is not null)
                grid = grid with { Scales = [.. grid.Scales.Zip(divisors, (s, d) => MathF.CopySign(Math.Max(MathF.Abs(s / d), Int8Weights.LeastScale), s))] };
            return _weights[key] = encoded with { Name = Integers(stem, tensor, encoded.Codes, grid), Scales = grid.Scales, Grid = grid };
        }
        _initializers.Add(Tensors.Create(stem + "_q", encoded.Codes, [.. tensor.Dims]));
        _initializers.Add(Tensors.Vector(stem + "_scale", scales));
        var zeros = Constant($"zero_s8_{scales.Length}", name => Tensors.Vector(name, new sbyte[scales.Length]));
        _first.Add(Onnx.Nodes.Create("DequantizeLinear", "", [stem + "_q", stem + "_scale", zeros], [stem + "_dq"]).With("axis", (long)layer.Weight.Axis));
        return _weights[key] = encoded with { Name = stem + "_dq", Scales = scales };
    }

    /// <summary>Codes of few bits with their scales, in blocks or by channel.</summary>
    private string Integers(string stem, TensorProto weight, sbyte[] codes, IntGrid grid)
    {
        var type = grid.Format.Bits switch { 2 => TensorProto.Types.DataType.Int2, 4 => TensorProto.Types.DataType.Int4, _ => TensorProto.Types.DataType.Int8 };
        var geometry = grid.Geometry;
        _initializers.Add(Tensors.Raw(stem + "_q", type, IntPacking.Pack(codes, grid.Format.Bits), [.. weight.Dims]));
        _initializers.Add(Tensors.Create(stem + "_scale", grid.Scales, geometry.ScaleDims));
        var zeros = grid.ZeroPoints ?? new sbyte[grid.Scales.Length];
        _initializers.Add(Tensors.Raw(stem + "_zeros", type, IntPacking.Pack(zeros, grid.Format.Bits), geometry.ScaleDims));
        var node = Onnx.Nodes.Create("DequantizeLinear", "", [stem + "_q", stem + "_scale", stem + "_zeros"], [stem + "_dq"]).With("axis", (long)geometry.Axis);
        _first.Add(geometry.BlockSize > 0 ? node.With("block_size", (long)geometry.BlockSize) : node);
        return stem + "_dq";
    }

    /// <summary>The values of a constant.</summary>
    public float[] Values(string initializer) => _view.Initializer(initializer)!.ToFloats();

    /// <summary>Stores a bias as int32 with scale = activation scale × weight scales: the accumulator's own grid.</summary>
    public string Int32Bias(string node, double[] values, float activationScale, float[] weightScales)
    {
        var scales = Array.ConvertAll(weightScales, s => s * activationScale);
        var codes = new int[scales.Length];
        for (var i = 0; i < codes.Length; i++)
            codes[i] = (int)Math.Clamp(Math.Round(values[i] / scales[i], MidpointRounding.ToEven), int.MinValue, int.MaxValue);
        var name = Unique(node + "_bias", "_q");
        _initializers.Add(Tensors.Vector(name + "_q", codes));
        _initializers.Add(Tensors.Vector(name + "_scale", scales));
        var zeros = Constant($"zero_s32_{scales.Length}", n => Tensors.Vector(n, new int[scales.Length]));
        _first.Add(Onnx.Nodes.Create("DequantizeLinear", "", [name + "_q", name + "_scale", zeros], [name + "_dq"]).With("axis", 0L));
        return name + "_dq";
    }

    /// <summary>A constant vector.</summary>
    public string Vector(string stem, double[] values)
    {
        var name = Unique(stem, "");
        _initializers.Add(Tensors.Vector(name, Array.ConvertAll(values, v => (float)v)));
        return name;
    }

    /// <summary>
    /// Adds a vector to the last axis of a MatMul's output: into the bias that is added right behind it where there is one, else by an
    /// Add of its own (if <paramref name="insert"/>). False where nothing was done.
    /// </summary>
    public bool AddBehind(NodeProto matMul, double[] values, bool insert)
    {
        var output = matMul.Output[0];
        if (_view.OnlyConsumer(output) is { } add && add.Is("Add") && add.Input[0] != add.Input[1])
        {
            var other = add.Input[0] == output ? 1 : 0;
            if (_view.Initializer(add.Input[other]) is { } bias && bias.DataType == (int)TensorProto.Types.DataType.Float && bias.Count() == values.Length && bias.Dims.LastOrDefault() == values.Length)
            {
                var old = bias.ToFloats();
                add.Input[other] = Vector(bias.Name + "_corrected", [.. values.Select((v, i) => v + old[i])]);
                return true;
            }
        }
        if (!insert)
            return false;
        var raw = Detach(output);
        // Before whatever reads the corrected tensor already.
        var correction = Onnx.Nodes.Create("Add", "", [raw, Vector(output + "_correction", values)], [output]);
        if (_after.TryGetValue(matMul, out var behind))
            behind.Insert(0, correction);
        else
            _after[matMul] = [correction];
        return true;
    }

    /// <summary>
    /// An Add of what such a convolution makes and a tensor that has a pair already reads it from that pair: TensorRT then adds within the
    /// convolution's kernel.
    /// </summary>
    public void Residuals(IReadOnlySet<string> convolutions)
    {
        var pairs = _activations.Where(a => a.Key.Item3 is null).ToLookup(a => a.Key.Item1, a => a.Value, StringComparer.Ordinal);
        foreach (var add in Model.Graph.Node.Where(n => n.Is("Add") && n.Input[0] != n.Input[1]))
        {
            for (var skip = 0; skip < 2; skip++)
            {
                if (pairs[add.Input[skip]].FirstOrDefault() is { } pair && _view.Producer(add.Input[1 - skip]) is { } convolution && convolutions.Contains(convolution.Label()) && _view.OnlyConsumer(add.Input[1 - skip]) == add)
                {
                    add.Input[skip] = pair;
                    break;
                }
            }
        }
    }

    /// <summary>The graph with everything in topological order.</summary>
    public ModelProto Finish()
    {
        var nodes = new List<NodeProto>(_first);
        foreach (var node in Model.Graph.Node)
        {
            if (_replacements.TryGetValue(node, out var replacement))
                nodes.AddRange(replacement);
            else
                nodes.Add(node);
            if (_after.TryGetValue(node, out var added))
                nodes.AddRange(added);
        }
        foreach (var node in nodes)
            node.MetadataProps.Clear();
        Model.Graph.Node.Clear();
        Model.Graph.Node.Add(nodes);
        Model.Graph.Initializer.Add(_initializers);
        Model.ProducerName = "QuantSdk";
        DeadCode.Remove(Model.Graph);
        return Model;
    }

    private void AddPair(string tensor, string stem, Int8Grid grid, string result, string? source = null)
    {
        _initializers.Add(Tensors.Scalar(stem + "_scale", grid.Scale));
        var zeroPoint = ZeroPoint(grid);
        After(tensor, Onnx.Nodes.Create("QuantizeLinear", "", [source ?? tensor, stem + "_scale", zeroPoint], [stem + "_q"]));
        After(tensor, Onnx.Nodes.Create("DequantizeLinear", "", [stem + "_q", stem + "_scale", zeroPoint], [result]));
    }

    /// <summary>Puts a node behind the one that makes a tensor, or first where that is an input of the graph.</summary>
    private void After(string tensor, NodeProto node)
    {
        if (_view.Producer(tensor) is not { } producer)
        {
            _first.Add(node);
            return;
        }
        if (!_after.TryGetValue(producer, out var list))
            _after[producer] = list = [];
        list.Add(node);
    }

    /// <summary>Gives what the producer writes another name, so that nodes in between can take the old one.</summary>
    private string Detach(string tensor)
    {
        var producer = _view.Producer(tensor)!;
        var raw = Unique(tensor + "_raw", "");
        // A second node in between comes before the first: it reads what the producer writes.
        var index = producer.Output.IndexOf(tensor);
        producer.Output[index] = raw;
        return raw;
    }

    private string ZeroPoint(Int8Grid grid) => grid.Signed
        ? Constant($"zp_s8_{grid.ZeroPoint}", n => Tensors.Scalar(n, (sbyte)grid.ZeroPoint))
        : Constant($"zp_u8_{grid.ZeroPoint}", n => Tensors.Scalar(n, (byte)grid.ZeroPoint));

    private string ZeroPoints(int zeroPoint, int count) => Constant($"zp_u8_{zeroPoint}_{count}", n => Tensors.Vector(n, Enumerable.Repeat((byte)zeroPoint, count).ToArray()));

    /// <summary>A stem from which every name made here is new: the wanted one, or with a number.</summary>
    private string Unique(string stem, string suffix)
    {
        var name = stem;
        for (var i = 1; suffix.Length == 0 ? _names.Contains(name) : s_suffixes.Any(s => _names.Contains(name + s)); i++)
            name = $"{stem}_{i}";
        _names.Add(name + suffix);
        return name;
    }

    /// <summary>Spatial dimensions of a tensor, read from the weight of a convolution over it.</summary>
    private int SpatialDims(string tensor) =>
        _view.Consumers(tensor).Select(c => c.Node).Where(n => n.Is("Conv") || n.Is("ConvTranspose")).Select(n => _view.Initializer(n.Input[1])!.Dims.Count - 2).First();

    private string Constant(string name, Func<string, TensorProto> make)
    {
        if (_constants.TryGetValue(name, out var made))
            return made;
        made = Unique(name, "");
        _initializers.Add(make(made));
        return _constants[name] = made;
    }
}
