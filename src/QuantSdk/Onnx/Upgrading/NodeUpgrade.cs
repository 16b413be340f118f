using QuantSdk.Runtime;

namespace QuantSdk.Onnx.Upgrading;

/// <summary>One node on its way to a newer operator set: what an adapter may look at, and where it puts what it adds.</summary>
internal sealed class NodeUpgrade
{
    private readonly GraphUpgrade _owner;
    private readonly GraphScope _scope;

    public NodeUpgrade(GraphUpgrade owner, GraphScope scope, NodeProto node) => (_owner, _scope, Node) = (owner, scope, node);

    /// <summary>The node, changed in place; it keeps its name.</summary>
    public NodeProto Node { get; }

    /// <summary>The version of the operator that the adapter goes to.</summary>
    public long Version { get; set; }

    public List<NodeProto> Before { get; } = [];

    public List<NodeProto> After { get; } = [];

    /// <summary>A new initializer of the node's own graph. Returns its name.</summary>
    public string Constant(string hint, Func<string, TensorProto> make)
    {
        var name = _owner.UniqueName($"{Stem}_{hint}");
        _scope.Graph.Initializer.Add(make(name));
        return name;
    }

    public string Constant(string hint, params long[] values) => Constant(hint, name => Tensors.Vector(name, values));

    /// <summary>A new node in front of this one. Returns the name of its output.</summary>
    public string Insert(string opType, string hint, IEnumerable<string> inputs, Action<NodeProto>? configure = null)
    {
        var output = _owner.UniqueName($"{Stem}_{hint}");
        Before.Add(Make(opType, output, inputs, output, configure));
        return output;
    }

    /// <summary>A new node behind this one, which takes over its output; the node itself writes what <paramref name="inputs"/> is given.</summary>
    public void Append(string opType, string hint, Func<string, IEnumerable<string>> inputs)
    {
        var result = Node.Output[0];
        Node.Output[0] = _owner.UniqueName($"{Stem}_{hint}");
        After.Add(Make(opType, Node.Output[0] + "_" + opType, inputs(Node.Output[0]), result, null));
    }

    /// <summary>Turns the attribute into the input at <paramref name="index"/>; nothing where the attribute is missing or an empty list.</summary>
    public void IntsToInput(string attribute, int index)
    {
        if (Take(attribute) is { Ints.Count: > 0 } values)
            SetInput(index, Constant(attribute, [.. values.Ints]));
    }

    /// <summary>Removes an attribute and returns it.</summary>
    public AttributeProto? Take(string name)
    {
        if (Node.Attribute(name) is not { } attribute)
            return null;
        Node.Attribute.Remove(attribute);
        return attribute;
    }

    public void SetInput(int index, string tensor)
    {
        while (Node.Input.Count <= index)
            Node.Input.Add("");
        Node.Input[index] = tensor;
    }

    public bool HasOutput(int index) => index < Node.Output.Count && Node.Output[index].Length > 0;

    /// <summary>True where a node, a body or the graph itself reads the output.</summary>
    public bool IsUsed(int output) => HasOutput(output) && _scope.IsUsed(Node.Output[output]);

    /// <summary>The constant behind a tensor, in this graph or one around it, or null.</summary>
    public TensorProto? ConstantOf(string tensor) => _scope.Constant(tensor);

    /// <summary>Element type and, where it is known, shape of a tensor; null where even the type is not.</summary>
    public TypeProto.Types.Tensor? TypeOf(string tensor) => _owner.TypeOf(tensor);

    /// <summary>The number of dimensions, or null.</summary>
    public int? RankOf(string tensor) => ConstantOf(tensor)?.Dims.Count ?? TypeOf(tensor)?.Shape?.Dim.Count;

    /// <summary>A scalar of the tensor's element type: float where the type is not known.</summary>
    public string ScalarLike(string tensor, string hint, float value) => Constant(hint, name => (TensorProto.Types.DataType)(TypeOf(tensor)?.ElemType ?? 1) switch
    {
        TensorProto.Types.DataType.Double => Tensors.Scalar(name, (double)value),
        TensorProto.Types.DataType.Float16 => Tensors.Scalar(name, (Half)value),
        TensorProto.Types.DataType.Int32 => Tensors.Scalar(name, (int)value),
        TensorProto.Types.DataType.Int64 => Tensors.Scalar(name, (long)value),
        _ => Tensors.Scalar(name, value),
    });

    public QuantSdkException Refusal(string why) => _owner.Refusal(Node, Version, why);

    private string Stem => Node.Name.Length > 0 ? Node.Name : Node.Output.FirstOrDefault(o => o.Length > 0) ?? Node.OpType;

    private static NodeProto Make(string opType, string name, IEnumerable<string> inputs, string output, Action<NodeProto>? configure)
    {
        var node = Nodes.Create(opType, name, inputs, [output]);
        configure?.Invoke(node);
        return node;
    }
}
