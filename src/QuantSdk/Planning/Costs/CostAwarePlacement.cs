using System.Globalization;
using QuantSdk.Calibration;
using QuantSdk.Onnx;
using QuantSdk.Recipes;

namespace QuantSdk.Planning;

/// <summary>A placement without the layers that do not pay, and what each was predicted to cost.</summary>
internal sealed record CostedPlacement(Placement Placement, IReadOnlyList<LayerCost> Costs);

/// <summary>
/// Takes those layers out of a placement that would be slower in int8 on a CPU. A pure function of the model, the observed
/// sizes and a cost table; nothing is timed.
/// </summary>
internal static class CostAwarePlacement
{
    /// <summary>What the recipe asks for: nothing is taken out where size matters more than speed, or where no CPU is a target.</summary>
    /// <param name="costs">What Costs names, read; null: the shipped table.</param>
    public static CostedPlacement Decide(OnnxModel model, Placement placement, CalibrationTable calibration, Recipe recipe, CostTable? costs, string cpuFeatures)
    {
        if (!Applies(recipe))
            return new CostedPlacement(placement, []);
        var cpuClass = CpuClass.Of(cpuFeatures);
        return Decide(model, placement, calibration, costs ?? CostTable.Shipped(cpuClass), cpuClass, BatchOf(recipe), recipe.Activations == "int8-dynamic");
    }

    /// <summary>True where a recipe's layers are weighed by their costs on a CPU.</summary>
    public static bool Applies(Recipe recipe) =>
        recipe.OptimizeFor == "speed" && recipe.Targets.Contains("cpu") && recipe.Weights == "int8" && recipe.Activations is "int8" or "int8-dynamic";

    /// <summary>True where TensorRT has a plan of its own: what is slower in int8 on a CPU need not be on a GPU.</summary>
    public static bool ApartForTensorRt(Recipe recipe) => Applies(recipe) && recipe.Precision != "auto" && recipe.Targets.Any(t => t != "cpu");

    /// <summary>Rows that a model is taken to run at once: with guidance, the conditional and the unconditional one.</summary>
    public static int BatchOf(Recipe recipe) => recipe.Scheduler is not null && recipe.GuidanceScale != 1 ? 2 : 1;

    /// <param name="table">Null where the class of CPU was never measured: a rule then keeps what is too small to be sure of in float.</param>
    /// <param name="batch">Rows that run at once.</param>
    /// <param name="dynamic">Linear layers quantise what they read at run time.</param>
    public static CostedPlacement Decide(OnnxModel model, Placement placement, CalibrationTable calibration, CostTable? table, string cpuClass, int batch, bool dynamic = false)
    {
        var view = new GraphView(model.Graph);
        var layers = Layers(placement);
        var shapes = Shapes(view, placement, calibration, batch);
        if (table is null)
            return Split(placement, layers, [.. shapes.Select(s => IsSurelyFaster(s, cpuClass))], _ => $"may be slower in int8 on this CPU (no times of class {cpuClass} are known, and it is small; `quantsdk tune` measures them)", view, calibration, []);
        var model8 = new CostModel(view, layers, shapes, calibration, table, batch, dynamic);
        var int8 = model8.Cheapest();
        var costs = layers.Select((l, i) =>
        {
            var (inFloat, inInt8) = model8.Alternatives(i, int8);
            return new LayerCost(l.Node.Label(), l.Module, shapes[i].ToString(), int8[i] ? "int8" : "float", Math.Round(inFloat, 2), Math.Round(inInt8, 2));
        }).ToArray();
        return Split(placement, layers, int8, i => string.Create(CultureInfo.InvariantCulture, $"would be slower in int8 on this CPU (predicted {costs[i].Int8Microseconds:0.0} µs against {costs[i].FloatMicroseconds:0.0} µs)"), view, calibration, costs);
    }

    /// <summary>The work of every layer that has an int8 kernel, in the order of the placement.</summary>
    public static WorkShape[] Shapes(GraphView view, Placement placement, CalibrationTable calibration, int batch) =>
        [.. Layers(placement).Select(l => LayerWork.Of(l, view.Initializer(l.Weight)!, calibration, batch, HasBias(view, l)))];

    private static Layer[] Layers(Placement placement) => [.. placement.Layers.Where(l => l.Op != "ConvTranspose")];

    private static CostedPlacement Split(Placement placement, Layer[] layers, bool[] int8, Func<int, string> reason, GraphView view, CalibrationTable calibration, IReadOnlyList<LayerCost> costs)
    {
        var dropped = new Dictionary<Layer, string>(ReferenceEqualityComparer.Instance);
        for (var i = 0; i < layers.Length; i++)
        {
            if (!int8[i])
                dropped[layers[i]] = reason(i);
        }
        var kept = dropped.Select(d => new Kept(d.Key.Node.Label(), d.Key.Op, d.Key.Module, d.Value, false, Planner.Macs(d.Key, view.Initializer(d.Key.Weight)!, calibration)));
        return new CostedPlacement(placement with { Layers = [.. placement.Layers.Where(l => !dropped.ContainsKey(l))], Kept = [.. placement.Kept, .. kept] }, costs);
    }

    /// <summary>Whether a constant bias is added: the product's own, or by the node behind it.</summary>
    private static bool HasBias(GraphView view, Layer layer) =>
        layer.Bias is not null || (view.OnlyConsumer(layer.Node.Output[0]) is { } next && next.Is("Add") && next.Input.Any(i => view.Initializer(i) is { Dims.Count: 1 }));

    /// <summary>Without times: four times the work an instruction makes up for quantising early, wider registers alone do not.</summary>
    private static bool IsSurelyFaster(WorkShape shape, string cpuClass)
    {
        var fast = CpuClass.HasDotProducts(cpuClass);
        return shape.Kind switch
        {
            WorkShape.Linear => shape.Inputs * shape.Outputs >= (fast ? 64 * 64 : 256 * 256),
            WorkShape.Depthwise => false,
            _ => shape.Inputs / shape.Groups * shape.Taps >= (fast ? 64 : 576) && shape.Outputs / shape.Groups >= (fast ? 16 : 64),
        };
    }
}
