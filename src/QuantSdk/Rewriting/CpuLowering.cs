using QuantSdk.Numerics;
using QuantSdk.Onnx;
using QuantSdk.Planning;

namespace QuantSdk.Rewriting;

/// <summary>
/// The form ONNX Runtime's CPU provider runs in int8: u8 activations with their own
/// zero point, s8 per-channel weights, Q/DQ on the input and the output of Conv, on the input alone of linear layers, int32 bias for
/// Gemm, float bias elsewhere.
/// </summary>
internal static class CpuLowering
{
    /// <summary>Optimisers that must stay off: MatMul+Add would become a float-bias Gemm that no int8 kernel takes.</summary>
    public static IReadOnlyList<string> DisabledOptimizers { get; } = ["MatMulAddFusion"];

    /// <summary>Why a layer of the plan stays in float on this target, or null.</summary>
    public static string? Refusal(LayerPlan layer) => layer.Op == "ConvTranspose" ? "ONNX Runtime has no int8 ConvTranspose on the CPU" : null;

    public static ModelProto Lower(OnnxModel model, Plan plan)
    {
        var writer = new QdqWriter(FloatFusions.Apply(model));
        var layers = plan.Layers.Where(l => Refusal(l) is null).ToArray();
        // Outputs first: a tensor that one layer writes and another reads has one pair.
        foreach (var output in layers.Where(l => l.Output is not null).Select(l => l.Output!).DistinctBy(o => o.Tensor))
            writer.Output(output.Tensor, Grid(output));
        foreach (var layer in layers)
        {
            var node = writer.Nodes[layer.Node];
            var grid = Grid(layer.Activation);
            node.Input[0] = writer.Activation(layer.Activation.Tensor, grid);
            var (weight, scales) = writer.Weight(layer.Weight.Tensor, layer.Weight.Axis);
            node.Input[1] = weight;
            if (layer is { Op: "Gemm", Bias: not null })
                node.Input[2] = writer.Bias(layer.Bias, grid.Scale, scales, layer.Node);
        }
        return LinearKernels.Write(writer.Finish());
    }

    private static Int8Grid Grid(TensorPlan tensor) => Int8Grid.Asymmetric(tensor.Low, tensor.High);
}
