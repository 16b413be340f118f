using QuantSdk.Onnx;

namespace QuantSdk.Rewriting;

/// <summary>Removes nodes that no output needs and initializers that no node reads.</summary>
internal static class DeadCode
{
    public static void Remove(GraphProto graph)
    {
        var needed = graph.Output.Select(o => o.Name).ToHashSet(StringComparer.Ordinal);
        var kept = new List<NodeProto>(graph.Node.Count);
        for (var i = graph.Node.Count - 1; i >= 0; i--)
        {
            var node = graph.Node[i];
            if (!node.Output.Any(needed.Contains))
                continue;
            needed.UnionWith(node.Input);
            needed.UnionWith(GraphView.Captured(node));
            kept.Add(node);
        }
        if (kept.Count < graph.Node.Count)
        {
            kept.Reverse();
            graph.Node.Clear();
            graph.Node.Add(kept);
        }
        Retain(graph.Initializer, t => needed.Contains(t.Name));
        // What describes tensors that are gone, or that a pass may have changed, is derived anew by whoever needs it.
        graph.ValueInfo.Clear();
        graph.QuantizationAnnotation.Clear();
    }

    public static void Retain<T>(Google.Protobuf.Collections.RepeatedField<T> list, Func<T, bool> keep)
    {
        var kept = list.Where(keep).ToList();
        if (kept.Count == list.Count)
            return;
        list.Clear();
        list.Add(kept);
    }
}
