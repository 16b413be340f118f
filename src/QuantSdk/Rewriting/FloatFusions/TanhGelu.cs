using QuantSdk.Onnx;

namespace QuantSdk.Rewriting;

/// <summary>
/// x/2·(1 + tanh(√(2/π)·(x + 0.044715·x³))), eight nodes in most exports, as com.microsoft.FastGelu. ONNX Runtime finds only
/// some of the ways in which the formula is written.
/// </summary>
internal static class TanhGelu
{
    private const double Tolerance = 1e-6;

    /// <returns>How many were found.</returns>
    public static int Fuse(GraphProto graph)
    {
        var view = new GraphView(graph);
        var found = new Dictionary<NodeProto, NodeProto>(ReferenceEqualityComparer.Instance);
        foreach (var tanh in graph.Node.Where(n => n.Is("Tanh")))
        {
            if (Root(view, tanh) is ({ } root, { } x))
                found[root] = Nodes.Create("FastGelu", root.Name, [x], [root.Output[0]], "com.microsoft");
        }
        for (var i = 0; i < graph.Node.Count; i++)
        {
            if (found.TryGetValue(graph.Node[i], out var gelu))
                graph.Node[i] = gelu;
        }
        return found.Count;
    }

    private static (NodeProto? Root, string? X) Root(GraphView view, NodeProto tanh)
    {
        if (Argument(view, tanh.Input[0]) is not { } x || view.OnlyConsumer(tanh.Output[0]) is not { } plusOne || !plusOne.Is("Add")
            || Factors.Scalar(view, Other(plusOne, tanh.Output[0])) is not 1 || view.OnlyConsumer(plusOne.Output[0]) is not { } product)
            return (null, null);
        // Up through the product as long as something is still missing.
        for (var root = product; root.Is("Mul") || root.Is("Div");)
        {
            var factors = Factors.Of(view, root.Output[0]);
            if (Near(factors.Constant, 0.5) && factors.Tensors.Count == 2 && factors.Tensors.Contains(x) && factors.Tensors.Contains(plusOne.Output[0]))
                return (root, x);
            if (view.OnlyConsumer(root.Output[0]) is not { } next)
                break;
            root = next;
        }
        return (null, null);
    }

    /// <summary>The x of √(2/π)·(x + 0.044715·x³), or null where the tensor is something else.</summary>
    private static string? Argument(GraphView view, string tensor)
    {
        var outer = Factors.Of(view, tensor);
        if (!Near(outer.Constant, Math.Sqrt(2 / Math.PI)) || outer.Tensors is not [var sum] || view.OnlyConsumer(sum) is null || view.Producer(sum) is not { } add || !add.Is("Add"))
            return null;
        foreach (var (x, cube) in ((string, string)[])[(add.Input[0], add.Input[1]), (add.Input[1], add.Input[0])])
        {
            var inner = Factors.Of(view, cube);
            if (view.OnlyConsumer(cube) is not null && Near(inner.Constant, 0.044715) && inner.Tensors is [var a, var b, var c] && a == x && b == x && c == x)
                return x;
        }
        return null;
    }

    private static string Other(NodeProto node, string input) => node.Input[0] == input ? node.Input[1] : node.Input[0];

    private static bool Near(double value, double expected) => Math.Abs(value - expected) <= Tolerance * Math.Max(1, Math.Abs(expected));
}
