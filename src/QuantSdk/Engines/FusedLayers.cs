using QuantSdk.Onnx;
using QuantSdk.Planning;

namespace QuantSdk.Engines;

/// <summary>Which layers of a plan really run in few bits, read from the optimised graph.</summary>
/// <param name="Fused">Labels of the nodes that became a kernel for them.</param>
/// <param name="Float">Labels of those that were meant to and did not.</param>
/// <param name="MacShare">Multiply-adds of the fused ones over those of all layers with weights outside the built-in exclusions.</param>
internal sealed record FusedLayers(IReadOnlyList<string> Fused, IReadOnlyList<string> Float, double MacShare)
{
    private static readonly HashSet<string> Kernels = ["QLinearConv", "MatMulIntegerToFloat", "QGemm", "QLinearMatMul", "DynamicQuantizeMatMul", "MatMulBnb4"];

    /// <param name="optimised">The graph that ONNX Runtime wrote.</param>
    /// <param name="heads">What was hoisted out of it, likewise.</param>
    public static FusedLayers Count(OnnxModel optimised, Plan plan, IEnumerable<OnnxModel>? heads = null)
    {
        // A fused node keeps the name of the product it was made from, or reads its weight.
        var names = new HashSet<string>(StringComparer.Ordinal);
        foreach (var node in (heads ?? []).Prepend(optimised).SelectMany(m => m.Graph.Node).Where(n => Kernels.Contains(n.OpType)))
        {
            names.Add(node.Name);
            names.UnionWith(node.Input);
        }
        bool IsFused(LayerPlan layer) => names.Contains(layer.Node) || names.Contains(layer.Weight.Tensor + "_q");
        var fused = plan.Layers.Where(IsFused).ToArray();
        long total = plan.Layers.Sum(l => l.Macs) + plan.Kept.Where(k => !k.BuiltIn).Sum(k => k.Macs), int8 = fused.Sum(l => l.Macs);
        return new FusedLayers([.. fused.Select(l => l.Node)], [.. plan.Layers.Where(l => !IsFused(l)).Select(l => l.Node)], total == 0 ? 1 : (double)int8 / total);
    }
}
