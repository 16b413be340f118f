using QuantSdk.Runtime;

namespace QuantSdk.Caching.Hoisting;

/// <summary>What was hoisted out of a model, for a person or a script.</summary>
/// <param name="Tensors">The tensors that are computed apart.</param>
/// <param name="MacShare">Multiply-adds of their computing as a share of the model's, [0, 1).</param>
internal sealed record HoistReport(IReadOnlyList<HoistedTensor> Tensors, double MacShare)
{
    public static HoistReport Of(HoistedModel hoisted) => new(hoisted.Tensors, Math.Round(ProductCosts.Of(hoisted.Lowered).MacShare(hoisted.Nodes()), 6));

    /// <summary>How many tensors each head computes.</summary>
    public static string Describe(IReadOnlyList<HoistedTensor> tensors)
    {
        var heads = HeadDependence.All.Select(d => (DependsOn: d, Count: tensors.Count(t => t.DependsOn == d))).Where(h => h.Count > 0).Select(h => $"{h.Count} by {(h.DependsOn == HeadDependence.Both ? "prompt and timestep" : h.DependsOn)}");
        return tensors.Count == 0 ? "nothing" : $"{tensors.Count} tensors: {string.Join(", ", heads)}";
    }
}
