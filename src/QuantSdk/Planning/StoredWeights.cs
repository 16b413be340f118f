using QuantSdk.Onnx;
using QuantSdk.Recipes;

namespace QuantSdk.Planning;

/// <summary>
/// Linear layers of the conditioning where size counts: their arithmetic stays in float, since what they feed is sensitive, but their
/// weights need no more than 8 bits. In a diffusion transformer a third of all weights are theirs (adaLN).
/// </summary>
internal static class StoredWeights
{
    /// <summary>Fewer elements are not worth a scale for each channel.</summary>
    private const long Least = 1024;

    /// <returns>The layers with weights in int8, and what was kept, with that said of them.</returns>
    public static (IReadOnlyList<LayerPlan> Stored, IReadOnlyList<Kept> Kept) Decide(OnnxModel model, IReadOnlyList<Kept> kept, Recipe recipe)
    {
        if (recipe.OptimizeFor != "size")
            return ([], kept);
        var view = new GraphView(model.Graph);
        var nodes = model.Graph.Node.ToDictionary(n => n.Label(), StringComparer.Ordinal);
        var stored = new List<LayerPlan>();
        var all = kept.Select(k =>
        {
            if (k.Reason != Structure.Conditioning || k.Op is not ("Gemm" or "MatMul") || Placement.Candidate(view, nodes[k.Node], k.Module).Layer is not { } layer
                || view.Initializer(layer.Weight)!.Count() < Least || view.OnlyConsumer(layer.Weight) is null)
                return k;
            stored.Add(new LayerPlan(k.Node, k.Op, k.Module, new TensorPlan(layer.Activation, "float", 0, 0, 0), new WeightPlan(layer.Weight, "int8", layer.WeightAxis), layer.Bias, null, 0));
            return k with { Reason = k.Reason + "; on the cpu its weight is stored in int8" };
        }).ToArray();
        return (stored, all);
    }
}
