using QuantSdk.Onnx;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Rewriting;

/// <summary>
/// Writes a graph's nodes in their precisions. A tensor exists in the type that its producer computes in, and in the other behind one Cast
/// where somebody reads that; constants, casts from other types and dequantisers are written in each type that is read.
/// </summary>
internal sealed class HalfPrecisionWriter(GraphProto graph, IReadOnlyDictionary<string, int> types, FullPrecisionNodes full, HalfType half)
{
    private const int Float = (int)DataType.Float;

    private readonly UniqueNames _names = new(graph);
    private readonly Dictionary<string, TensorProto> _initializers = graph.Initializer.ToDictionary(t => t.Name, StringComparer.Ordinal);
    private readonly HashSet<string> _outputs = graph.Output.Select(o => o.Name).ToHashSet(StringComparer.Ordinal);
    private readonly HashSet<string> _scalesOfScales = graph.Node.Where(n => n.Is("DequantizeLinear")).Select(n => n.Input[1]).ToHashSet(StringComparer.Ordinal);
    private readonly Dictionary<string, Versions> _versions = new(StringComparer.Ordinal);
    private readonly Dictionary<(string, bool), string> _scales = [];
    private readonly List<NodeProto> _nodes = new(graph.Node.Count);

    public void Write()
    {
        foreach (var input in graph.Input.Where(i => IsFloat(i.Name)))
            _versions[input.Name] = new Versions { Full = input.Name };
        foreach (var tensor in graph.Initializer.Where(t => t.DataType == Float).ToArray())
            _versions[tensor.Name] = new Versions { Full = tensor.Name, Make = _ => Constant(half.Narrow(tensor, _names.Make($"{tensor.Name}_{half.Name}"))) };
        foreach (var node in graph.Node)
            Write(node);
        foreach (var output in _outputs.Where(IsFloat))
        {
            if (Get(output, false) is var name && name != output)
                _nodes.Add(Nodes.Create("Identity", _names.Make(output + "_identity"), [name], [output]));
        }
        graph.Node.Clear();
        graph.Node.Add(_nodes);
        Identities.Remove(graph);
        DeadCode.Remove(graph);
    }

    private bool IsFloat(string tensor) => types.GetValueOrDefault(tensor) == Float;

    private void Write(NodeProto node)
    {
        if (FullPrecisionNodes.IsDequantiser(node) && IsFloat(node.Output[0]))
            _versions[node.Output[0]] = new Versions { Make = inHalf => Dequantise(node, inHalf) };
        else if (node.Is("Cast"))
            WriteCast(node);
        else if (node.Is("ConstantOfShape") && IsFloat(node.Output[0]))
            _versions[node.Output[0]] = new Versions { Make = inHalf => Fill(node, inHalf) };
        else
            Compute(node);
    }

    private void Compute(NodeProto node)
    {
        var inHalf = !full.Contains(node);
        foreach (var body in node.Bodies())
            Recapture(body, []);
        for (var i = 0; i < node.Input.Count; i++)
        {
            if (!IsFloat(node.Input[i]))
                continue;
            node.Input[i] = node.Is("QuantizeLinear") && i == 1 ? Scale(node.Input[1], inHalf)
                : full.CastOperands.Contains(node) ? Widened(node.Input[i])
                : Get(node.Input[i], inHalf && !AlwaysFull(node, i));
        }
        _nodes.Add(node);
        for (var i = 0; i < node.Output.Count; i++)
        {
            var output = node.Output[i];
            if (!IsFloat(output))
                continue;
            // A type that is an attribute, or a statistic beside the result, is not that of the inputs.
            var stays = !inHalf || node.Int("dtype", 0) == Float || (node.OpType == "LayerNormalization" && i > 0);
            node.Output[i] = Declare(output, !stays);
        }
    }

    /// <summary>Inputs that ONNX or TensorRT have in 32 bits, whatever the others are.</summary>
    private static bool AlwaysFull(NodeProto node, int input) => node.OpType == "TRT_FP4DynamicQuantize" && input == 1;

    /// <summary>The name under which a node writes a tensor: its own, but for outputs of the graph, which keep their type.</summary>
    private string Declare(string tensor, bool inHalf)
    {
        var versions = _versions.TryGetValue(tensor, out var known) ? known : _versions[tensor] = new Versions();
        var plain = !(inHalf && _outputs.Contains(tensor)) && (versions.Half ?? versions.Full) is null;
        var name = plain ? tensor : !inHalf && _outputs.Contains(tensor) ? tensor : _names.Make($"{tensor}_{(inHalf ? half.Name : "fp32")}");
        if (inHalf)
            versions.Half = name;
        else
            versions.Full = name;
        return name;
    }

    /// <summary>The tensor in one type: as it is, made anew, or behind a Cast.</summary>
    private string Get(string tensor, bool inHalf)
    {
        var versions = _versions[tensor];
        if ((inHalf ? versions.Half : versions.Full) is { } known)
            return known;
        if (versions.Make?.Invoke(inHalf) is { } made)
            return inHalf ? versions.Half = made : versions.Full = made;
        var source = Get(tensor, !inHalf);
        return AddCast(source, Declare(tensor, inHalf), inHalf);
    }

    private string AddCast(string source, string result, bool toHalf)
    {
        _nodes.Add(Nodes.Create("Cast", _names.Make(result + "_cast"), [source], [result]).With("to", toHalf ? (long)half.Type : Float));
        return result;
    }

    /// <summary>The 16-bit tensor behind a Cast of its own.</summary>
    private string Widened(string tensor)
    {
        var versions = _versions[tensor];
        return versions.Widened ??= AddCast(Get(tensor, true), _names.Make(tensor + "_fp32"), false);
    }

    private string Constant(TensorProto tensor)
    {
        graph.Initializer.Add(tensor);
        return tensor.Name;
    }

    /// <summary>A scale of a pair: the same number on both sides, whatever their types.</summary>
    private string Scale(string name, bool inHalf)
    {
        if (!_initializers.TryGetValue(name, out var tensor) || tensor.DataType != Float)
            return Get(name, inHalf);
        if (!full.Fits(name))
            return name;
        if (!_scales.TryGetValue((name, inHalf), out var made))
            _scales[(name, inHalf)] = made = Constant(inHalf ? half.Narrow(tensor, _names.Make($"{name}_{half.Name}")) : Tensors.Create(_names.Make(name + "_rounded"), Array.ConvertAll(tensor.ToFloats(), half.Round), [.. tensor.Dims]));
        return made;
    }

    private string? Dequantise(NodeProto node, bool inHalf)
    {
        if (inHalf && full.OnlyFull(node))
            return null;
        var own = node.Clone();
        if (own.Is("DequantizeLinear"))
            own.Input[1] = _scalesOfScales.Contains(node.Output[0]) ? Get(node.Input[1], inHalf) : Scale(node.Input[1], inHalf);
        if (own.Attribute("output_dtype") is { } stated)
            stated.I = inHalf ? (long)half.Type : Float;
        return Copy(own, inHalf);
    }

    private string Fill(NodeProto node, bool inHalf)
    {
        var own = node.Clone();
        if (inHalf)
        {
            var value = own.Attribute("value")?.T ?? Tensors.Vector("", 0f);
            Tensors.MoveToRawData(value);
            own.Attribute.Clear();
            own.Attribute.Add(new AttributeProto { Name = "value", Type = AttributeProto.Types.AttributeType.Tensor, T = half.Narrow(value, value.Name) });
        }
        return Copy(own, inHalf);
    }

    /// <summary>One of the copies of a node whose result has no type of its own.</summary>
    private string Copy(NodeProto own, bool inHalf)
    {
        var tensor = own.Output[0];
        own.Output[0] = Declare(tensor, inHalf);
        if (own.Output[0] != tensor && own.Name.Length > 0)
            own.Name = _names.Make($"{own.Name}_{(inHalf ? half.Name : "fp32")}");
        _nodes.Add(own);
        return own.Output[0];
    }

    private void WriteCast(NodeProto node)
    {
        var (source, result) = (node.Input[0], node.Output[0]);
        if (!IsFloat(result))
        {
            // Reads what is there; a graph that was cast to the type already needs no other.
            if (IsFloat(source))
                node.Input[0] = _versions[source] is { Full: { } name } ? name : Get(source, _versions[source].Half is not null && !full.Contains(node));
            if (IsFloat(source) && node.Input[0] == _versions[source].Half && node.Int("to", 0) == (long)half.Type)
            {
                node.OpType = "Identity";
                node.Attribute.Clear();
            }
            _nodes.Add(node);
        }
        else if (IsFloat(source))
        {
            _versions[result] = new Versions { Make = inHalf => Get(source, inHalf) };
        }
        else
        {
            _versions[result] = new Versions
            {
                Make = inHalf =>
                {
                    if (inHalf && types.GetValueOrDefault(source) == (int)half.Type)
                        return source;
                    var own = node.Clone();
                    own.Attribute("to")!.I = inHalf ? (long)half.Type : Float;
                    return Copy(own, inHalf);
                },
            };
        }
    }

    /// <summary>Bodies of control flow stay as they are, and read 32-bit tensors of the graph around them.</summary>
    private void Recapture(GraphProto body, HashSet<string> inner)
    {
        inner = [.. inner, .. body.Input.Select(i => i.Name), .. body.Initializer.Select(t => t.Name), .. body.Node.SelectMany(n => n.Output)];
        string Outer(string name) => !inner.Contains(name) && _versions.ContainsKey(name) ? Get(name, false) : name;
        foreach (var node in body.Node)
        {
            for (var i = 0; i < node.Input.Count; i++)
                node.Input[i] = Outer(node.Input[i]);
            foreach (var within in node.Bodies())
                Recapture(within, inner);
        }
        foreach (var output in body.Output)
            output.Name = Outer(output.Name);
    }

    /// <summary>The names of a tensor in its types.</summary>
    private sealed class Versions
    {
        public string? Half { get; set; }

        public string? Full { get; set; }

        /// <summary>The full type again, of the 16-bit tensor.</summary>
        public string? Widened { get; set; }

        /// <summary>Writes the tensor in 16 bits (true) or 32; null where that takes a Cast.</summary>
        public Func<bool, string?>? Make { get; init; }
    }
}
