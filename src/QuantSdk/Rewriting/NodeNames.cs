using QuantSdk.Onnx;

namespace QuantSdk.Rewriting;

/// <summary>Gives every node a name of its own: plans, reports and fused kernels refer to nodes by name.</summary>
internal static class NodeNames
{
    /// <summary>True where a graph or a body in it has two nodes of one name, which ONNX Runtime refuses.</summary>
    public static bool HasDuplicates(GraphProto graph) =>
        graph.Node.Where(n => n.Name.Length > 0).GroupBy(n => n.Name, StringComparer.Ordinal).Any(g => g.Count() > 1) || graph.Node.SelectMany(n => n.Bodies()).Any(HasDuplicates);

    /// <summary>Names within a graph are told apart; a body may use those of the graph around it.</summary>
    public static void MakeUnique(GraphProto graph)
    {
        var taken = graph.Node.Select(n => n.Name).Where(n => n.Length > 0).ToHashSet(StringComparer.Ordinal);
        var seen = new HashSet<string>(StringComparer.Ordinal);
        foreach (var body in graph.Node.SelectMany(n => n.Bodies()))
            MakeUnique(body);
        foreach (var node in graph.Node)
        {
            if (node.Name.Length > 0 && seen.Add(node.Name))
                continue;
            var stem = node.Name.Length > 0 ? node.Name : node.OpType;
            var number = 1;
            while (!taken.Add($"{stem}_{number}"))
                number++;
            node.Name = $"{stem}_{number}";
            seen.Add(node.Name);
        }
    }
}
