using System.Runtime.InteropServices;
using QuantSdk.Numerics;
using QuantSdk.Onnx;
using QuantSdk.Runtime;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Rewriting;

/// <summary>Adds QuantizeLinear/DequantizeLinear nodes to a copy of a graph: one pair a tensor and grid, weights as int8 with DequantizeLinear alone.</summary>
internal sealed class QdqWriter
{
    private readonly long _opset;
    private readonly GraphView _view;
    private readonly Dictionary<NodeProto, List<NodeProto>> _after = new(ReferenceEqualityComparer.Instance);
    private readonly List<NodeProto> _first = [];
    private readonly List<TensorProto> _initializers = [];
    private readonly Dictionary<(string, Int8Grid), string> _activations = [];
    private readonly Dictionary<(string, int), (string Name, float[] Scales)> _weights = [];
    private readonly Dictionary<string, string> _constants = new(StringComparer.Ordinal);
    private readonly Dictionary<string, List<TensorProto>> _shared = new(StringComparer.Ordinal);
    private readonly Dictionary<(string, string), string> _fragments = [];
    private readonly Dictionary<NodeProto, IReadOnlyList<NodeProto>> _replacements = new(ReferenceEqualityComparer.Instance);
    private readonly UniqueNames _names;

    public QdqWriter(OnnxModel model)
    {
        (Path, _opset) = (model.Path, model.Opset);
        Model = model.Proto.Clone();
        _view = new GraphView(Model.Graph);
        _names = new UniqueNames(Model.Graph);
        Nodes = Model.Graph.Node.ToDictionary(n => n.Label(), StringComparer.Ordinal);
    }

    /// <summary>The file that the model came from.</summary>
    public string Path { get; }

    public ModelProto Model { get; }

    public IReadOnlyDictionary<string, NodeProto> Nodes { get; }

    /// <summary>Q and DQ after <paramref name="tensor"/>; returns the name of the dequantised tensor.</summary>
    public string Activation(string tensor, Int8Grid grid)
    {
        if (_activations.TryGetValue((tensor, grid), out var name))
            return name;
        name = _names.Make(tensor + "_dq");
        AddPair(tensor, grid, name);
        return _activations[(tensor, grid)] = name;
    }

    /// <summary>Q and DQ on a tensor for all its readers, which go on using its name.</summary>
    public void Output(string tensor, Int8Grid grid)
    {
        var producer = _view.Producer(tensor)!;
        var raw = _names.Make(tensor + "_raw");
        producer.Output[producer.Output.IndexOf(tensor)] = raw;
        AddPair(tensor, grid, tensor, raw);
        // Readers with the same grid find the pair that is there already.
        _activations[(tensor, grid)] = tensor;
    }

    /// <summary>Stores a weight as int8, one scale a channel; returns the dequantised tensor's name and the scales.</summary>
    public (string Name, float[] Scales) Weight(string weight, int axis)
    {
        if (_weights.TryGetValue((weight, axis), out var done))
            return done;
        var tensor = _view.Initializer(weight)!;
        var (codes, scales) = Int8Weights.Encode(MemoryMarshal.Cast<byte, float>(tensor.RawData.Span), tensor.Dims, axis);
        var zeros = Constant($"zero_s8_{scales.Length}", name => Tensors.Vector(name, new sbyte[scales.Length]));
        var name = AddDequantized(weight, n => Tensors.Create(n, codes, [.. tensor.Dims]), scales, zeros, axis);
        return _weights[(weight, axis)] = (name, scales);
    }

    /// <summary>Stores a bias as int32 with scale = activation scale × weight scales: the accumulator's own grid.</summary>
    public string Bias(string bias, float activationScale, float[] weightScales, string node)
    {
        var values = MemoryMarshal.Cast<byte, float>(_view.Initializer(bias)!.RawData.Span);
        var scales = Array.ConvertAll(weightScales, s => s * activationScale);
        var codes = new int[scales.Length];
        for (var i = 0; i < codes.Length; i++)
            codes[i] = (int)Math.Clamp(Math.Round(values[i] / (double)scales[i], MidpointRounding.ToEven), int.MinValue, int.MaxValue);
        var zeros = Constant($"zero_s32_{scales.Length}", n => Tensors.Vector(n, new int[scales.Length]));
        return AddDequantized(node + "_bias", n => Tensors.Vector(n, codes), scales, zeros, 0);
    }

    /// <summary>A constant of the graph.</summary>
    public TensorProto Initializer(string name) => _view.Initializer(name)!;

    /// <exception cref="QuantSdkException">QSDK3001 where the model's operator set is older than a format needs.</exception>
    public void Require(long opset, string format)
    {
        if (_opset < opset)
            throw new QuantSdkException("QSDK3001", $"'{Path}' uses opset {_opset}; the format {format} needs {opset} or newer. Export the model again with that opset.", Path);
    }

    /// <summary>Adds a fragment that reads <paramref name="tensor"/>, once a key; returns the name of its result.</summary>
    public string Insert(string tensor, string key, Func<Fragment> make)
    {
        if (_fragments.TryGetValue((tensor, key), out var output))
            return output;
        var fragment = Adopt(make());
        After(tensor, fragment.Nodes);
        return _fragments[(tensor, key)] = fragment.Output;
    }

    /// <summary>Puts a fragment in the place of a node of one output: its first node takes the node's name, its result that of the output.</summary>
    public void Replace(NodeProto node, Fragment fragment)
    {
        fragment = Adopt(fragment);
        fragment.Nodes[0].Name = node.Name;
        var last = fragment.Nodes.Single(n => n.Output.Contains(fragment.Output));
        last.Output[last.Output.IndexOf(fragment.Output)] = node.Output[0];
        _replacements[node] = fragment.Nodes;
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

    /// <summary>Codes, scales and the node that multiplies them; returns the name of the product.</summary>
    private string AddDequantized(string stem, Func<string, TensorProto> codes, float[] scales, string zeros, int axis)
    {
        var (q, scale, result) = (_names.Make(stem + "_q"), _names.Make(stem + "_scale"), _names.Make(stem + "_dq"));
        _initializers.Add(codes(q));
        _initializers.Add(Tensors.Vector(scale, scales));
        _first.Add(Onnx.Nodes.Create("DequantizeLinear", "", [q, scale, zeros], [result]).With("axis", (long)axis));
        return result;
    }

    private void AddPair(string tensor, Int8Grid grid, string result, string? source = null)
    {
        var (q, scale) = (_names.Make(tensor + "_q"), _names.Make(tensor + "_scale"));
        _initializers.Add(Tensors.Scalar(scale, grid.Scale));
        var zeroPoint = grid.Signed
            ? Constant($"zp_s8_{grid.ZeroPoint}", n => Tensors.Scalar(n, (sbyte)grid.ZeroPoint))
            : Constant($"zp_u8_{grid.ZeroPoint}", n => Tensors.Scalar(n, (byte)grid.ZeroPoint));
        NodeProto[] pair =
        [
            Onnx.Nodes.Create("QuantizeLinear", "", [source ?? tensor, scale, zeroPoint], [q]),
            Onnx.Nodes.Create("DequantizeLinear", "", [q, scale, zeroPoint], [result]),
        ];
        After(tensor, pair);
    }

    /// <summary>Nodes that come as soon as the tensor is there.</summary>
    private void After(string tensor, IReadOnlyList<NodeProto> nodes)
    {
        if (_view.Producer(tensor) is not { } producer)
        {
            _first.AddRange(nodes);
            return;
        }
        if (!_after.TryGetValue(producer, out var list))
            _after[producer] = list = [];
        list.AddRange(nodes);
    }

    /// <summary>The fragment with names that are free in this graph, its constants among the graph's: equal ones are there once.</summary>
    private Fragment Adopt(Fragment fragment)
    {
        var names = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var constant in fragment.Initializers)
            names[constant.Name] = Shared(constant);
        foreach (var node in fragment.Nodes)
        {
            for (var i = 0; i < node.Input.Count; i++)
                node.Input[i] = names.GetValueOrDefault(node.Input[i], node.Input[i]);
            for (var i = 0; i < node.Output.Count; i++)
                node.Output[i] = names[node.Output[i]] = _names.Make(node.Output[i]);
            node.Name = node.Output[0];
            if (node.Domain.Length > 0 && Model.OpsetImport.All(o => o.Domain != node.Domain))
                Model.OpsetImport.Add(new OperatorSetIdProto { Domain = node.Domain, Version = 1 });
        }
        return fragment with { Output = names[fragment.Output] };
    }

    private string Shared(TensorProto constant)
    {
        if (!_shared.TryGetValue(constant.Name, out var named))
            _shared[constant.Name] = named = [];
        if (named.FirstOrDefault(t => t.DataType == constant.DataType && t.Dims.Equals(constant.Dims) && t.RawData.Equals(constant.RawData)) is { } equal)
            return equal.Name;
        named.Add(constant);
        constant.Name = _names.Make(constant.Name);
        _initializers.Add(constant);
        return constant.Name;
    }

    private string Constant(string key, Func<string, TensorProto> make)
    {
        if (_constants.TryGetValue(key, out var name))
            return name;
        name = _names.Make(key);
        _initializers.Add(make(name));
        return _constants[key] = name;
    }
}
