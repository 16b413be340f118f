using System.Security.Cryptography;
using Google.Protobuf;
using QuantSdk.Onnx;

namespace QuantSdk.Rewriting;

/// <summary>One copy of equal initializers and of equal computations.</summary>
internal static class Duplicates
{
    /// <summary>Larger initializers that are equal are weights shared on purpose: those are merged too, by hash.</summary>
    public static void Merge(GraphProto graph)
    {
        var renamed = new Dictionary<string, string>(StringComparer.Ordinal);
        var outputs = graph.Output.Select(o => o.Name).ToHashSet(StringComparer.Ordinal);
        var seen = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var tensor in graph.Initializer)
        {
            if (outputs.Contains(tensor.Name) || !tensor.HasRawData)
                continue;
            var key = $"{tensor.DataType}[{string.Join(',', tensor.Dims)}]{Convert.ToHexString(SHA256.HashData(tensor.RawData.Span))}";
            if (!seen.TryAdd(key, tensor.Name))
                renamed[tensor.Name] = seen[key];
        }
        DeadCode.Retain(graph.Initializer, t => !renamed.ContainsKey(t.Name));

        var nodes = new Dictionary<string, NodeProto>(StringComparer.Ordinal);
        var dropped = new HashSet<NodeProto>(ReferenceEqualityComparer.Instance);
        var captured = graph.Node.SelectMany(GraphView.Captured).ToHashSet(StringComparer.Ordinal);
        foreach (var node in graph.Node)
        {
            for (var i = 0; i < node.Input.Count; i++)
            {
                if (renamed.TryGetValue(node.Input[i], out var to))
                    node.Input[i] = to;
            }
            if (node.HasSubgraph() || node.OpType.StartsWith("Random", StringComparison.Ordinal) || node.OpType is "Multinomial" or "Bernoulli" or "Dropout"
                || node.Output.Any(o => outputs.Contains(o) || captured.Contains(o)))
                continue;
            var key = Key(node);
            if (nodes.TryAdd(key, node))
                continue;
            var first = nodes[key];
            if (first.Output.Count != node.Output.Count)
                continue;
            for (var i = 0; i < node.Output.Count; i++)
                renamed[node.Output[i]] = first.Output[i];
            dropped.Add(node);
        }
        DeadCode.Retain(graph.Node, n => !dropped.Contains(n));
        RenameInSubgraphs(graph, renamed);
    }

    private static string Key(NodeProto node)
    {
        var bare = new NodeProto { OpType = node.OpType, Domain = node.Domain };
        bare.Input.Add(node.Input);
        bare.Attribute.Add(node.Attribute.OrderBy(a => a.Name, StringComparer.Ordinal));
        return Convert.ToBase64String(bare.ToByteArray());
    }

    private static void RenameInSubgraphs(GraphProto graph, Dictionary<string, string> renamed)
    {
        foreach (var node in graph.Node)
        {
            foreach (var attribute in node.Attribute)
            {
                foreach (var body in attribute.G is not null ? attribute.Graphs.Prepend(attribute.G) : attribute.Graphs)
                {
                    foreach (var inner in body.Node)
                    {
                        for (var i = 0; i < inner.Input.Count; i++)
                        {
                            if (renamed.TryGetValue(inner.Input[i], out var to))
                                inner.Input[i] = to;
                        }
                    }
                    RenameInSubgraphs(body, renamed);
                }
            }
        }
    }
}
