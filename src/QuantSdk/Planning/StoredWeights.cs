using QuantSdk.Onnx;
using QuantSdk.Recipes;

namespace QuantSdk.Planning;

/// <summary>
/// Linear layers of the conditioning: they compute in float, since what they feed is sensitive, but their weights need no more than the 11 bits
/// of float16 and are stored so. In a diffusion transformer a third of all weights are theirs (adaLN).
/// </summary>
internal static class StoredWeights
{
    /// <summary>Fewer elements are not worth a node.</summary>
    private const long Least = 1024;

    /// <summary>‖w‖²/‖w − float16(w)‖² at the least: 60 dB. Weights with numbers beyond the range of float16, or mostly below it, stay as they are.</summary>
    private const double LeastRatio = 1e6;

    /// <returns>The layers with weights in float16, and what was kept, with that said of them.</returns>
    public static (IReadOnlyList<LayerPlan> Stored, IReadOnlyList<Kept> Kept) Decide(OnnxModel model, IReadOnlyList<Kept> kept, Recipe recipe)
    {
        // Weight-only models of any size are streamed; what they keep is copied byte by byte.
        if (recipe.Activations == "float")
            return ([], kept);
        var view = new GraphView(model.Graph);
        var nodes = model.Graph.Node.ToDictionary(n => n.Label(), StringComparer.Ordinal);
        var stored = new List<LayerPlan>();
        var all = kept.Select(k =>
        {
            if (k.Reason != Structure.Conditioning || k.Op is not ("Gemm" or "MatMul") || Placement.Candidate(view, nodes[k.Node], k.Module).Layer is not { } layer
                || view.Initializer(layer.Weight) is not { } weight || weight.Count() < Least || view.OnlyConsumer(layer.Weight) is null || !Holds(weight.ToFloats()))
                return k;
            stored.Add(new LayerPlan(k.Node, k.Op, k.Module, new TensorPlan(layer.Activation, "float", 0, 0, 0), new WeightPlan(layer.Weight, "float16", layer.WeightAxis), layer.Bias, null, 0));
            return k with { Reason = k.Reason + "; on the cpu its weight is stored in float16" };
        }).ToArray();
        return (stored, all);
    }

    private static bool Holds(float[] weight)
    {
        double signal = 0, noise = 0;
        foreach (var w in weight)
        {
            var error = w - (double)(Half)w;
            (signal, noise) = (signal + ((double)w * w), noise + (error * error));
        }
        // Neither infinity nor NaN passes.
        return noise * LeastRatio <= signal;
    }
}
