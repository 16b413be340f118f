using QuantSdk.Onnx;

namespace QuantSdk.Caching;

/// <summary>What is needed to compute some tensors when others are given.</summary>
/// <param name="Nodes">The nodes that run.</param>
/// <param name="Read">The given tensors, inputs and initializers that they read.</param>
internal sealed record BackwardSlice(IReadOnlySet<NodeProto> Nodes, IReadOnlySet<string> Read)
{
    /// <param name="wanted">Tensors to compute.</param>
    /// <param name="given">Tensors that need not be computed.</param>
    public static BackwardSlice Of(GraphView view, IEnumerable<string> wanted, IReadOnlySet<string> given)
    {
        var nodes = new HashSet<NodeProto>(ReferenceEqualityComparer.Instance);
        var read = new HashSet<string>(StringComparer.Ordinal);
        var open = new Stack<string>(wanted);
        while (open.TryPop(out var tensor))
        {
            if (tensor.Length == 0)
                continue;
            if (given.Contains(tensor) || view.Producer(tensor) is not { } node)
            {
                read.Add(tensor);
                continue;
            }
            if (!nodes.Add(node))
                continue;
            foreach (var input in node.Input.Concat(GraphView.Captured(node)))
                open.Push(input);
        }
        return new BackwardSlice(nodes, read);
    }
}
