using QuantSdk.Onnx;

namespace QuantSdk.Rewriting;

/// <summary>
/// Softmax(q·kᵀ·s + mask)·v over heads as com.microsoft.MultiHeadAttention: one kernel that never writes the scores to memory and
/// reads and writes batch × sequence × (heads·channels), so that the Reshape and Transpose nodes around the products go as well.
/// Streams that are joined along the sequence (the image and the text of an MMDiT) are joined in that layout instead.
/// What does not match in every detail, at every size tried, is left as it is.
/// </summary>
internal static class AttentionFusion
{
    /// <summary>The tensors whose shapes <see cref="Fuse"/> asks for.</summary>
    public static IEnumerable<string> Tensors(ModelProto model)
    {
        var view = new GraphView(model.Graph);
        return Candidates(view, Opset(model)).SelectMany(c => c.Tensors(view));
    }

    /// <returns>How many were fused.</returns>
    public static int Fuse(ModelProto model, ProbedShapes shapes)
    {
        var graph = model.Graph;
        var view = new GraphView(graph);
        var opset = Opset(model);
        var candidates = Candidates(view, opset).ToArray();
        var insertions = new Dictionary<NodeProto, IReadOnlyList<NodeProto>>(ReferenceEqualityComparer.Instance);
        var gone = new HashSet<NodeProto>(ReferenceEqualityComparer.Instance);
        foreach (var candidate in candidates.Where(c => !insertions.ContainsKey(c.Product)))
        {
            if (new AttentionWriter(graph, view, shapes, candidate, opset).Write() is not { } nodes)
                continue;
            insertions[candidate.Product] = nodes;
            gone.UnionWith([candidate.Product, candidate.Transpose, candidate.Reshape]);
        }
        if (insertions.Count == 0)
            return 0;
        var all = graph.Node.SelectMany(n => insertions.TryGetValue(n, out var added) ? added : gone.Contains(n) ? [] : [n]).ToArray();
        graph.Node.Clear();
        graph.Node.Add(all);
        DeadCode.Remove(graph);
        return insertions.Count;
    }

    private static long Opset(ModelProto model) => model.OpsetImport.FirstOrDefault(o => o.Domain is "" or "ai.onnx")?.Version ?? 0;

    private static IEnumerable<AttentionCandidate> Candidates(GraphView view, long opset) => view.Graph.Node.Where(n => n.Is("Softmax")).SelectMany(n => Candidates(view, n, opset));

    /// <summary>The ways to read what surrounds a Softmax; an Add of two products of activations can be read in two.</summary>
    private static IEnumerable<AttentionCandidate> Candidates(GraphView view, NodeProto softmax, long opset)
    {
        // Before opset 13 axis 1 is the default, and everything from it on is one row.
        if (softmax.Int("axis", opset >= 13 ? -1 : 1) is not (-1 or 3) || Below(view, softmax.Output[0]) is not { } product || !product.Is("MatMul")
            || AboveCasts(view, product.Input[0]) != softmax.Output[0]
            || view.OnlyConsumer(product.Output[0]) is not { } transpose || !IsTranspose(transpose, 0, 2, 1, 3)
            || view.OnlyConsumer(transpose.Output[0]) is not { } reshape || !reshape.Is("Reshape") || reshape.Input[0] != transpose.Output[0])
            yield break;
        var scores = AboveCasts(view, softmax.Input[0]);
        if (view.OnlyConsumer(scores) is null)
            yield break;
        if (Scores(view, scores) is var (plain, plainScale))
            yield return new AttentionCandidate(softmax, plain, plainScale, null, product, transpose, reshape);
        else if (view.Producer(scores) is { } add && add.Is("Add"))
        {
            foreach (var (sum, mask) in ((string, string)[])[(add.Input[0], add.Input[1]), (add.Input[1], add.Input[0])])
            {
                if (view.OnlyConsumer(sum) is not null && Scores(view, AboveCasts(view, sum)) is var (masked, scale))
                    yield return new AttentionCandidate(softmax, masked, scale, mask, product, transpose, reshape);
            }
        }
    }

    /// <summary>The product q·kᵀ below a chain of scalar factors that only the chain reads, or null.</summary>
    private static (NodeProto Product, double Scale)? Scores(GraphView view, string tensor)
    {
        var scale = 1.0;
        while (view.OnlyConsumer(tensor) is not null && view.Producer(tensor) is { } node)
        {
            if (node.Is("MatMul"))
                return (node, scale);
            if (ScaledInput(view, node) is not var (input, factor))
                return null;
            (tensor, scale) = (AboveCasts(view, input), scale * factor);
        }
        return null;
    }

    /// <summary>The tensor that a Mul or Div by a constant scales, and the factor.</summary>
    internal static (string Input, double Factor)? ScaledInput(GraphView view, NodeProto node)
    {
        if (node.Is("Mul"))
        {
            if (Factors.Scalar(view, node.Input[1]) is { } right)
                return (node.Input[0], right);
            if (Factors.Scalar(view, node.Input[0]) is { } left)
                return (node.Input[1], left);
        }
        return node.Is("Div") && Factors.Scalar(view, node.Input[1]) is { } divisor && divisor != 0 ? (node.Input[0], 1 / divisor) : null;
    }

    internal static bool IsTranspose(NodeProto? node, params ReadOnlySpan<long> permutation)
    {
        if (node is null || !node.Is("Transpose") || node.Attribute("perm") is not { } perm || perm.Ints.Count != permutation.Length)
            return false;
        for (var i = 0; i < permutation.Length; i++)
        {
            if (perm.Ints[i] != permutation[i])
                return false;
        }
        return true;
    }

    /// <summary>The tensor above casts to float; that it is float already is seen when it is probed.</summary>
    internal static string AboveCasts(GraphView view, string tensor)
    {
        while (view.Producer(tensor) is { } node && node.Is("Cast") && node.Int("to", 0) == (long)TensorProto.Types.DataType.Float)
            tensor = node.Input[0];
        return tensor;
    }

    /// <summary>The only reader of a tensor, or of what casts make of it.</summary>
    private static NodeProto? Below(GraphView view, string tensor)
    {
        var node = view.OnlyConsumer(tensor);
        while (node is not null && node.Is("Cast"))
            node = view.OnlyConsumer(node.Output[0]);
        return node;
    }
}
