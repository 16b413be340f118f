using QuantSdk.Numerics;
using QuantSdk.Onnx;
using QuantSdk.Recipes;

namespace QuantSdk.Planning;

/// <summary>Placement to a plan in which weights alone have few bits: no ranges, so no data.</summary>
internal static class WeightOnlyPlanner
{
    /// <summary>Weights in integers, nothing else touched.</summary>
    public static bool Applies(Recipe recipe) => recipe.Activations == "float" && recipe.Weights is "int8" or "int4" or "int2";

    /// <summary>The grid that a plan's format names.</summary>
    public static IntFormat FormatOf(WeightPlan weight) => new(weight.Format switch { "int2" => 2, "int4" => 4, _ => 8 }, weight.BlockSize, weight.ZeroPoint);

    /// <param name="model">The simplified model; weights need shapes, not values.</param>
    /// <param name="target">cpu or tensorrt.</param>
    public static Plan Make(OnnxModel model, Placement placement, Recipe recipe, string target)
    {
        var weights = model.Graph.Initializer.ToDictionary(t => t.Name, StringComparer.Ordinal);
        var layers = new List<LayerPlan>();
        var kept = new List<Kept>(placement.Kept);
        foreach (var layer in placement.Layers)
        {
            var weight = weights[layer.Weight];
            if (Refusal(layer, weight, recipe, target) is { } reason)
            {
                kept.Add(new Kept(layer.Node.Label(), layer.Op, layer.Module, reason, false));
                continue;
            }
            layers.Add(new LayerPlan(
                layer.Node.Label(), layer.Op, layer.Module, new TensorPlan(layer.Activation, "float", 0, 0, 0),
                new WeightPlan(layer.Weight, recipe.Weights, layer.WeightAxis, BlockSize(layer, weight, recipe, target), recipe.WeightZeroPoint), layer.Bias, null, 0));
        }
        return new Plan(2, placement.Samples, layers, kept);
    }

    private static string? Refusal(Layer layer, TensorProto weight, Recipe recipe, string target)
    {
        if (weight.Count() > int.MaxValue)
            return $"its weight has {weight.Count()} elements; up to {int.MaxValue} are encoded";
        if (target != "tensorrt" || recipe.Weights != "int4")
            return null;
        return TensorRtWeights.Refusal(layer, weight, recipe);
    }

    /// <summary>
    /// 128 along the reduction axis for 4 and 2 bits, a smaller power of two where the axis is shorter: ONNX Runtime fuses powers of two
    /// from 16 on. Convolutions and 8 bits: one scale an output channel.
    /// </summary>
    private static int BlockSize(Layer layer, TensorProto weight, Recipe recipe, string target)
    {
        if (layer.IsConvolution)
            return 0;
        if (recipe.BlockSize is { } given)
            return given;
        if (recipe.Weights == "int8")
            return 0;
        var inputs = TensorRtWeights.Inputs(layer, weight);
        if (target == "tensorrt")
            return TensorRtWeights.Block(inputs, recipe);
        return inputs >= 128 ? 128 : inputs >= 64 ? 64 : inputs >= 32 ? 32 : 16;
    }
}
