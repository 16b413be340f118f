namespace QuantSdk.Onnx;

/// <summary>Who makes and who uses each tensor of a graph: an index over a <see cref="GraphProto"/> that is not edited while the view is in use.</summary>
internal sealed class GraphView
{
    private readonly Dictionary<string, NodeProto> _producers = new(StringComparer.Ordinal);
    private readonly Dictionary<string, List<(NodeProto Node, int Input)>> _consumers = new(StringComparer.Ordinal);
    private readonly Dictionary<string, TensorProto> _initializers = new(StringComparer.Ordinal);
    private readonly HashSet<string> _outputs;

    public GraphView(GraphProto graph)
    {
        Graph = graph;
        _outputs = graph.Output.Select(o => o.Name).ToHashSet(StringComparer.Ordinal);
        foreach (var tensor in graph.Initializer)
            _initializers[tensor.Name] = tensor;
        foreach (var node in graph.Node)
        {
            foreach (var output in node.Output)
            {
                if (output.Length > 0)
                    _producers[output] = node;
            }
            for (var i = 0; i < node.Input.Count; i++)
            {
                if (node.Input[i].Length > 0)
                    Consumer(node.Input[i], node, i);
            }
            foreach (var captured in Captured(node))
                Consumer(captured, node, -1);
        }
        // Initializers may also be listed as inputs (IR 3): those are constants here, as every runtime treats them by default.
        Inputs = [.. graph.Input.Where(i => !_initializers.ContainsKey(i.Name))];
    }

    public GraphProto Graph { get; }

    /// <summary>The inputs a caller feeds.</summary>
    public IReadOnlyList<ValueInfoProto> Inputs { get; }

    public NodeProto? Producer(string tensor) => _producers.GetValueOrDefault(tensor);

    /// <summary>The nodes that read <paramref name="tensor"/>, with the input index; −1 where a subgraph of the node captures it.</summary>
    public IReadOnlyList<(NodeProto Node, int Input)> Consumers(string tensor) => _consumers.TryGetValue(tensor, out var list) ? list : [];

    public TensorProto? Initializer(string tensor) => _initializers.GetValueOrDefault(tensor);

    public bool IsOutput(string tensor) => _outputs.Contains(tensor);

    /// <summary>The only node that reads <paramref name="tensor"/>, or null where there are others or the graph returns it.</summary>
    public NodeProto? OnlyConsumer(string tensor) => !IsOutput(tensor) && Consumers(tensor) is [var (node, input)] && input >= 0 ? node : null;

    /// <summary>Names that the node's subgraphs read from the outer graph (or from themselves; a superset does no harm).</summary>
    public static IEnumerable<string> Captured(NodeProto node)
    {
        foreach (var attribute in node.Attribute)
        {
            foreach (var graph in attribute.G is not null ? attribute.Graphs.Prepend(attribute.G) : attribute.Graphs)
            {
                foreach (var inner in graph.Node)
                {
                    foreach (var input in inner.Input)
                    {
                        if (input.Length > 0)
                            yield return input;
                    }
                    foreach (var captured in Captured(inner))
                        yield return captured;
                }
                foreach (var output in graph.Output)
                    yield return output.Name;
            }
        }
    }

    /// <summary>Every tensor whose value depends on one of <paramref name="sources"/>. What only reads its shape does not count.</summary>
    public HashSet<string> DependentOn(IEnumerable<string> sources)
    {
        var reached = sources.ToHashSet(StringComparer.Ordinal);
        // ONNX requires topological order, so one pass is enough.
        foreach (var node in Graph.Node)
        {
            if (node.Is("Shape") || node.Is("Size"))
                continue;
            if (node.Input.Any(reached.Contains) || Captured(node).Any(reached.Contains))
                reached.UnionWith(node.Output.Where(o => o.Length > 0));
        }
        return reached;
    }

    private void Consumer(string tensor, NodeProto node, int input)
    {
        if (!_consumers.TryGetValue(tensor, out var list))
            _consumers[tensor] = list = [];
        list.Add((node, input));
    }
}
