using System.Runtime.InteropServices;
using QuantSdk.Numerics;
using QuantSdk.Onnx;
using QuantSdk.Runtime;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Rewriting;

/// <summary>Adds QuantizeLinear/DequantizeLinear nodes to a copy of a graph: one pair a tensor and grid, weights as int8 with DequantizeLinear alone.</summary>
internal sealed class QdqWriter
{
    private readonly GraphView _view;
    private readonly Dictionary<NodeProto, List<NodeProto>> _after = new(ReferenceEqualityComparer.Instance);
    private readonly List<NodeProto> _first = [];
    private readonly List<TensorProto> _initializers = [];
    private readonly Dictionary<(string, Int8Grid), string> _activations = [];
    private readonly Dictionary<(string, int), (string Name, float[] Scales)> _weights = [];
    private readonly long _opset;
    private readonly HashSet<string> _constants = new(StringComparer.Ordinal);
    private readonly Dictionary<(string, string), string> _fragments = [];
    private readonly Dictionary<NodeProto, Fragment> _replacements = new(ReferenceEqualityComparer.Instance);

    /// <exception cref="QuantSdkException">QSDK3001 where the model's operator set has no per-channel quantisation.</exception>
    public static void CheckOpset(OnnxModel model)
    {
        if (model.Opset < 13)
            throw new QuantSdkException("QSDK3001", $"'{model.Path}' uses opset {model.Opset}; per-channel quantisation needs 13 or newer. Export the model again with opset 17 or newer.", model.Path);
    }

    public QdqWriter(OnnxModel model)
    {
        CheckOpset(model);
        (Path, _opset) = (model.Path, model.Opset);
        Model = model.Proto.Clone();
        _view = new GraphView(Model.Graph);
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
        var suffix = _activations.Keys.Count(k => k.Item1 == tensor) is var n and > 0 ? $"_{n}" : "";
        name = $"{tensor}{suffix}_dq";
        AddPair(tensor, $"{tensor}{suffix}", grid, name);
        return _activations[(tensor, grid)] = name;
    }

    /// <summary>Q and DQ on a tensor for all its readers, which go on using its name.</summary>
    public void Output(string tensor, Int8Grid grid)
    {
        var producer = _view.Producer(tensor)!;
        var raw = tensor + "_raw";
        producer.Output[producer.Output.IndexOf(tensor)] = raw;
        AddPair(tensor, tensor, grid, tensor, raw);
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
        _initializers.Add(Tensors.Create(weight + "_q", codes, [.. tensor.Dims]));
        _initializers.Add(Tensors.Vector(weight + "_scale", scales));
        var zeros = Constant($"zero_s8_{scales.Length}", name => Tensors.Vector(name, new sbyte[scales.Length]));
        _first.Add(Onnx.Nodes.Create("DequantizeLinear", "", [weight + "_q", weight + "_scale", zeros], [weight + "_dq"]).With("axis", (long)axis));
        return _weights[(weight, axis)] = (weight + "_dq", scales);
    }

    /// <summary>Stores a bias as int32 with scale = activation scale × weight scales: the accumulator's own grid.</summary>
    public string Bias(string bias, float activationScale, float[] weightScales, string node)
    {
        var values = MemoryMarshal.Cast<byte, float>(_view.Initializer(bias)!.RawData.Span);
        var scales = Array.ConvertAll(weightScales, s => s * activationScale);
        var codes = new int[scales.Length];
        for (var i = 0; i < codes.Length; i++)
            codes[i] = (int)Math.Clamp(Math.Round(values[i] / (double)scales[i], MidpointRounding.ToEven), int.MinValue, int.MaxValue);
        var name = node + "_bias";
        _initializers.Add(Tensors.Vector(name + "_q", codes));
        _initializers.Add(Tensors.Vector(name + "_scale", scales));
        var zeros = Constant($"zero_s32_{scales.Length}", n => Tensors.Vector(n, new int[scales.Length]));
        _first.Add(Onnx.Nodes.Create("DequantizeLinear", "", [name + "_q", name + "_scale", zeros], [name + "_dq"]).With("axis", 0L));
        return name + "_dq";
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
    /// <param name="make">Given what tells its names from those of other fragments of the tensor.</param>
    public string Insert(string tensor, string key, Func<string, Fragment> make)
    {
        if (_fragments.TryGetValue((tensor, key), out var output))
            return output;
        var fragment = make(_fragments.Keys.Count(k => k.Item1 == tensor) is var n and > 0 ? $"_{n}" : "");
        Adopt(fragment);
        After(tensor, fragment.Nodes);
        return _fragments[(tensor, key)] = fragment.Output;
    }

    /// <summary>Puts a fragment in the place of a node of one output, which keeps its name, as the fragment's first node keeps the node's.</summary>
    public void Replace(NodeProto node, Fragment fragment)
    {
        Adopt(fragment);
        fragment.Nodes[0].Name = node.Name;
        var last = fragment.Nodes.Single(n => n.Output.Contains(fragment.Output));
        last.Output[last.Output.IndexOf(fragment.Output)] = node.Output[0];
        _replacements[node] = fragment;
    }

    /// <summary>The graph with everything in topological order.</summary>
    public ModelProto Finish()
    {
        var nodes = new List<NodeProto>(_first);
        foreach (var node in Model.Graph.Node)
        {
            if (_replacements.TryGetValue(node, out var replacement))
                nodes.AddRange(replacement.Nodes);
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

    private void AddPair(string tensor, string baseName, Int8Grid grid, string result, string? source = null)
    {
        _initializers.Add(Tensors.Scalar(baseName + "_scale", grid.Scale));
        var zeroPoint = grid.Signed
            ? Constant($"zp_s8_{grid.ZeroPoint}", n => Tensors.Scalar(n, (sbyte)grid.ZeroPoint))
            : Constant($"zp_u8_{grid.ZeroPoint}", n => Tensors.Scalar(n, (byte)grid.ZeroPoint));
        NodeProto[] pair =
        [
            Onnx.Nodes.Create("QuantizeLinear", "", [source ?? tensor, baseName + "_scale", zeroPoint], [baseName + "_q"]),
            Onnx.Nodes.Create("DequantizeLinear", "", [baseName + "_q", baseName + "_scale", zeroPoint], [result]),
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

    private void Adopt(Fragment fragment)
    {
        foreach (var constant in fragment.Initializers)
            Constant(constant.Name, _ => constant);
        foreach (var domain in fragment.Nodes.Select(n => n.Domain).Where(d => d.Length > 0 && Model.OpsetImport.All(o => o.Domain != d)).Distinct(StringComparer.Ordinal).ToArray())
            Model.OpsetImport.Add(new OperatorSetIdProto { Domain = domain, Version = 1 });
    }

    private string Constant(string name, Func<string, TensorProto> make)
    {
        if (_constants.Add(name))
            _initializers.Add(make(name));
        return name;
    }
}
