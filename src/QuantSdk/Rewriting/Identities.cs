using QuantSdk.Onnx;

namespace QuantSdk.Rewriting;

/// <summary>Removes nodes that return their input: Identity and inference Dropout.</summary>
internal static class Identities
{
    public static void Remove(GraphProto graph)
    {
        var outputs = graph.Output.Select(o => o.Name).ToHashSet(StringComparer.Ordinal);
        var captured = graph.Node.SelectMany(GraphView.Captured).ToHashSet(StringComparer.Ordinal);
        var renamed = new Dictionary<string, string>(StringComparer.Ordinal);
        var gone = new HashSet<NodeProto>(ReferenceEqualityComparer.Instance);
        foreach (var node in graph.Node)
        {
            for (var i = 0; i < node.Input.Count; i++)
            {
                if (renamed.TryGetValue(node.Input[i], out var to))
                    node.Input[i] = to;
            }
            var identity = node.Is("Identity") || (node.Is("Dropout") && node.Input.Count < 3 && node.Output.Count(o => o.Length > 0) == 1);
            if (!identity || outputs.Contains(node.Output[0]) || captured.Contains(node.Output[0]))
                continue;
            renamed[node.Output[0]] = node.Input[0];
            gone.Add(node);
        }
        DeadCode.Retain(graph.Node, n => !gone.Contains(n));
    }
}
