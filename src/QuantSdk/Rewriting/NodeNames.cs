using QuantSdk.Onnx;

namespace QuantSdk.Rewriting;

/// <summary>Gives every node a name of its own: plans, reports and fused kernels refer to nodes by name.</summary>
internal static class NodeNames
{
    public static void MakeUnique(GraphProto graph)
    {
        var taken = graph.Node.Select(n => n.Name).Where(n => n.Length > 0).ToHashSet(StringComparer.Ordinal);
        var seen = new HashSet<string>(StringComparer.Ordinal);
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
