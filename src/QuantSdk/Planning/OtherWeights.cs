using QuantSdk.Onnx;

namespace QuantSdk.Planning;

/// <summary>Nodes with weights that are no product of this graph: why they stay as they are.</summary>
internal static class OtherWeights
{
    /// <summary>The node with the reason, or null where it has no weights: no constant of two or more dimensions, and none in its bodies.</summary>
    public static Kept? Of(GraphView view, NodeProto node, string module)
    {
        if (Products(node) is var products and > 0)
            return new Kept(node.Label(), node.OpType, module, $"the bodies of control flow are left alone: {products} product{(products == 1 ? "" : "s")} in them", false);
        var weights = node.Input.Where(i => view.Initializer(i) is { } t && t.Dims.Count(d => d > 1) > 1 && ElementType.IsFloat(t.DataType)).ToArray();
        return weights.Length == 0 ? null : Reason(node) is { } reason ? new Kept(node.Label(), node.OpType, module, reason, false) : null;
    }

    private static string? Reason(NodeProto node) => node.OpType switch
    {
        "Gather" => "its table is looked up, not multiplied",
        "LSTM" or "GRU" or "RNN" => "recurrent weights are left alone: their products are inside the operator",
        _ when node.Domain is not ("" or "ai.onnx") => $"{node.Domain}.{node.OpType} is no operator of the standard domain",
        "Einsum" or "DeformConv" or "Attention" => $"{node.OpType} has no form in few bits here",
        // Elementwise: what two dimensions of constants are added to or scaled by are no weights.
        _ => null,
    };

    private static int Products(NodeProto node) => node.Bodies().SelectMany(b => b.Node).Sum(n => (Placement.IsProduct(n) ? 1 : 0) + Products(n));
}
