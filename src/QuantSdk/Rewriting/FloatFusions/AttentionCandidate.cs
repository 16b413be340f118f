using QuantSdk.Onnx;

namespace QuantSdk.Rewriting;

/// <summary>What looks like attention by its operators; whether it is one, shapes have to tell.</summary>
/// <param name="Scores">q·kᵀ: batch × heads × queries × keys.</param>
/// <param name="Scale">What the scores are multiplied with before the mask.</param>
/// <param name="Mask">What is added to the scores, or null.</param>
/// <param name="Product">Softmax·v.</param>
/// <param name="Transpose">To batch × queries × heads × channels.</param>
/// <param name="Reshape">Joins heads and channels.</param>
internal sealed record AttentionCandidate(NodeProto Softmax, NodeProto Scores, double Scale, string? Mask, NodeProto Product, NodeProto Transpose, NodeProto Reshape)
{
    /// <summary>Every tensor whose shape or type the match depends on, beside those above the operands.</summary>
    private IEnumerable<string> Own => [.. Scores.Input, Scores.Output[0], Softmax.Input[0], Softmax.Output[0], .. Product.Input, Product.Output[0], Reshape.Output[0], .. Mask is null ? [] : (string[])[Mask]];

    /// <summary>The tensors to probe: its own, and those above q, k and v as far as a match may look.</summary>
    public IReadOnlySet<string> Tensors(GraphView view)
    {
        var tensors = new HashSet<string>(Own, StringComparer.Ordinal);
        Climb(Scores.Input[0], 0);
        Climb(Scores.Input[1], 0);
        Climb(Product.Input[1], 0);
        return tensors;

        // Scale, Transpose, Concat, Transpose, Cast, Reshape: what may lie between a product and the projections.
        void Climb(string tensor, int depth)
        {
            tensors.Add(tensor);
            if (depth < 10 && view.Producer(tensor) is { } node && node.OpType is "Mul" or "Div" or "Transpose" or "Reshape" or "Concat" or "Cast")
            {
                foreach (var input in node.Is("Reshape") ? node.Input.Take(1) : node.Input)
                    Climb(input, depth + 1);
            }
        }
    }
}
