using QuantSdk.Onnx;

namespace QuantSdk.Rewriting;

/// <summary>Writes the nodes of a <see cref="Fragment"/> one after the other.</summary>
/// <param name="name">What the names of its tensors begin with.</param>
internal sealed class FragmentBuilder(string name)
{
    private readonly List<NodeProto> _nodes = [];
    private readonly Dictionary<string, TensorProto> _initializers = new(StringComparer.Ordinal);

    /// <summary>Adds a node of one output; returns the output's name.</summary>
    public string Node(string opType, params ReadOnlySpan<string> inputs) => Node(_ => { }, opType, inputs);

    /// <summary>Adds a node of one output with attributes; returns the output's name.</summary>
    public string Node(Action<NodeProto> attributes, string opType, params ReadOnlySpan<string> inputs) => Node(attributes, "", opType, 1, inputs)[0];

    /// <summary>Adds a node of a domain; returns the names of its outputs.</summary>
    public string[] Node(Action<NodeProto> attributes, string domain, string opType, int outputs, params ReadOnlySpan<string> inputs)
    {
        var stem = $"{name}_{_nodes.Count}";
        var node = Nodes.Create(opType, $"{stem}_{opType}", inputs.ToArray(), Enumerable.Range(0, outputs).Select(i => i == 0 ? stem : $"{stem}_{i}"), domain);
        attributes(node);
        _nodes.Add(node);
        return [.. node.Output];
    }

    /// <summary>A number, by a name that says which, so that fragments share it.</summary>
    public string Number(float value) => Constant(Tensors.Scalar($"f32_{BitConverter.SingleToInt32Bits(value):x8}", value));

    /// <summary>Integers (shapes, axes), named as numbers are.</summary>
    public string Integers(params long[] values) => Constant(Tensors.Vector("i64_" + string.Join("_", values), values));

    public string Constant(TensorProto tensor)
    {
        _initializers.TryAdd(tensor.Name, tensor);
        return tensor.Name;
    }

    /// <summary>What was written, its result in the tensor <paramref name="output"/>.</summary>
    public Fragment Finish(string output) => new(output, _nodes, [.. _initializers.Values]);
}
