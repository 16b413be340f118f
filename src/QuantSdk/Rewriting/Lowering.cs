using QuantSdk.Onnx;
using QuantSdk.Planning;

namespace QuantSdk.Rewriting;

/// <summary>A plan written into a graph in the form that one target executes fast.</summary>
internal static class Lowering
{
    public static ModelProto Lower(OnnxModel model, Plan plan, string target) => target switch
    {
        "cpu" => CpuLowering.Lower(model, plan),
        "tensorrt" => TensorRtLowering.Lower(model, plan),
        "sim" => SimLowering.Lower(model, plan),
        _ => throw new ArgumentOutOfRangeException(nameof(target), target, "cpu, tensorrt or sim"),
    };

    /// <summary>Q/DQ on the activation and DQ on the weight of every layer, nothing on outputs.</summary>
    internal static ModelProto InputsOnly(OnnxModel model, Plan plan, Func<TensorPlan, Numerics.Int8Grid> grid)
    {
        var writer = new QdqWriter(model);
        foreach (var layer in plan.Layers)
        {
            var node = writer.Nodes[layer.Node];
            node.Input[0] = writer.Activation(layer.Activation.Tensor, grid(layer.Activation));
            node.Input[1] = writer.Weight(layer.Weight.Tensor, layer.Weight.Axis).Name;
        }
        return writer.Finish();
    }
}
