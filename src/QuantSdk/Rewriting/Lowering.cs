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

    /// <summary>Activation and weight of every layer quantised and dequantised, nothing on outputs.</summary>
    /// <param name="grid">The grid of int8 activations.</param>
    internal static ModelProto InputsOnly(OnnxModel model, Plan plan, string target, Func<TensorPlan, Numerics.Int8Grid> grid)
    {
        var writer = new QdqWriter(model);
        foreach (var layer in plan.Layers)
        {
            var node = writer.Nodes[layer.Node];
            node.Input[0] = layer.Activation.Format switch
            {
                "float" => node.Input[0],
                "int8" => writer.Activation(layer.Activation.Tensor, grid(layer.Activation)),
                _ => Activation(writer, layer, target),
            };
            node.Input[1] = layer.Weight.Format switch
            {
                "float" => node.Input[1],
                "int8" => writer.Weight(layer.Weight.Tensor, layer.Weight.Axis).Name,
                _ => Weight(writer, layer.Weight, target),
            };
        }
        return writer.Finish();
    }

    private static string Activation(QdqWriter writer, LayerPlan layer, string target)
    {
        writer.Require(FormatWriter.Opset(layer.Activation.Format, target), layer.Activation.Format);
        var reduction = Reduction(layer, writer.Initializer(layer.Weight.Tensor));
        return writer.Insert(layer.Activation.Tensor, $"{layer.Activation.Format} {layer.Activation.Amax:r}", () => FormatWriter.Activation(target, layer.Activation, reduction));
    }

    private static string Weight(QdqWriter writer, WeightPlan weight, string target)
    {
        writer.Require(FormatWriter.Opset(weight.Format, target), weight.Format);
        return writer.Insert(weight.Tensor, $"{weight.Format} {weight.Axis} {weight.BlockSize}", () =>
        {
            var tensor = writer.Initializer(weight.Tensor);
            return FormatWriter.Weight(target, weight.Format, weight.Tensor, FormatWriter.Encode(weight, tensor.ToFloats(), tensor.Dims, writer.Path));
        });
    }

    /// <summary>Length of the axis that a linear layer sums over: the last of its activation. A convolution's is not, and it has no blocks there.</summary>
    private static long Reduction(LayerPlan layer, TensorProto weight) => weight.Dims[layer.Weight.Axis == weight.Dims.Count - 1 ? ^2 : ^1];
}
