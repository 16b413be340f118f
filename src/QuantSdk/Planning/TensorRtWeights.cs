using QuantSdk.Onnx;
using QuantSdk.Recipes;

namespace QuantSdk.Planning;

/// <summary>Which weights TensorRT takes in int4: those of linear layers, in whole blocks of 64 or 128 along the inputs (its documentation, "Working with quantized types").</summary>
internal static class TensorRtWeights
{
    /// <summary>A placement without the layers that it does not take, where the recipe asks for int4 there.</summary>
    public static Placement Fit(Placement placement, OnnxModel model, Recipe recipe)
    {
        if (recipe.Weights != "int4" || recipe.Targets.All(t => t == "cpu"))
            return placement;
        var weights = model.Graph.Initializer.ToDictionary(t => t.Name, StringComparer.Ordinal);
        var refused = placement.Layers.Select(l => (Layer: l, Reason: Refusal(l, weights[l.Weight], recipe))).Where(r => r.Reason is not null).ToArray();
        return refused.Length == 0 ? placement : placement with
        {
            Layers = [.. placement.Layers.Except(refused.Select(r => r.Layer))],
            Kept = [.. placement.Kept, .. refused.Select(r => new Kept(r.Layer.Node.Label(), r.Layer.Op, r.Layer.Module, r.Reason!, false))],
        };
    }

    /// <summary>Why it does not take a layer's weight, or null.</summary>
    public static string? Refusal(Layer layer, TensorProto weight, Recipe recipe)
    {
        if (layer.IsConvolution)
            return "TensorRT has 4-bit weights for linear layers alone";
        var inputs = Inputs(layer, weight);
        return inputs % Block(inputs, recipe) == 0 ? null : $"TensorRT takes int4 in whole blocks of {(recipe.BlockSize is { } block ? $"{block}" : "64 or 128")}; the weight has {inputs} inputs";
    }

    /// <summary>The block that the recipe names, or the larger one that divides the inputs.</summary>
    public static int Block(long inputs, Recipe recipe) => recipe.BlockSize ?? (inputs % 128 == 0 ? 128 : 64);

    /// <summary>Elements along the reduction axis.</summary>
    public static long Inputs(Layer layer, TensorProto weight) => weight.Count() / Math.Max(1, weight.Dims[layer.WeightAxis]);
}
