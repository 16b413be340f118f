namespace QuantSdk.Onnx.Upgrading;

/// <summary>A graph, or the body of a node, with the graphs around it: names are looked up from the inside out.</summary>
internal sealed class GraphScope
{
    private readonly GraphScope? _outer;
    private readonly Dictionary<string, TensorProto> _constants = new(StringComparer.Ordinal);
    private readonly HashSet<string> _defined = new(StringComparer.Ordinal);
    private readonly HashSet<string> _used = new(StringComparer.Ordinal);

    public GraphScope(GraphProto graph, GraphScope? outer)
    {
        (Graph, _outer) = (graph, outer);
        _defined.UnionWith(graph.Input.Select(i => i.Name));
        foreach (var tensor in graph.Initializer)
            _constants[tensor.Name] = tensor;
        foreach (var node in graph.Node)
        {
            _defined.UnionWith(node.Output);
            _used.UnionWith(node.Input);
            _used.UnionWith(GraphView.Captured(node));
            if (node.Is("Constant") && node.Attribute("value")?.T is { } value)
                _constants[node.Output[0]] = value;
        }
        _used.UnionWith(graph.Output.Select(o => o.Name));
    }

    public GraphProto Graph { get; }

    public bool IsUsed(string tensor) => _used.Contains(tensor);

    public TensorProto? Constant(string tensor) =>
        _constants.GetValueOrDefault(tensor) ?? (_defined.Contains(tensor) ? null : _outer?.Constant(tensor));
}
