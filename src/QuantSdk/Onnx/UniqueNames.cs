namespace QuantSdk.Onnx;

/// <summary>Names that no tensor and no node of a graph, or of the bodies in it, has.</summary>
internal sealed class UniqueNames
{
    private readonly HashSet<string> _taken = new(StringComparer.Ordinal);

    public UniqueNames(GraphProto graph) => Collect(graph);

    /// <summary>The stem, with a number behind it where it is taken; taken from now on.</summary>
    public string Make(string stem)
    {
        var name = stem;
        for (var number = 1; !_taken.Add(name); number++)
            name = $"{stem}_{number}";
        return name;
    }

    private void Collect(GraphProto graph)
    {
        _taken.UnionWith(graph.Initializer.Select(t => t.Name));
        _taken.UnionWith(graph.Input.Concat(graph.Output).Concat(graph.ValueInfo).Select(v => v.Name));
        foreach (var node in graph.Node)
        {
            _taken.Add(node.Name);
            _taken.UnionWith(node.Input);
            _taken.UnionWith(node.Output);
            foreach (var body in node.Bodies())
                Collect(body);
        }
    }
}
