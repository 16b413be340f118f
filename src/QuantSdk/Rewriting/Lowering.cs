using QuantSdk.Numerics;
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

    /// <summary>Q/DQ on the activation and DQ on the weight of every layer, nothing on outputs; smoothing and corrections by nodes of their own.</summary>
    /// <param name="target">tensorrt (symmetric grids, centred) or sim.</param>
    internal static ModelProto InputsOnly(OnnxModel model, Plan plan, string target)
    {
        var writer = new QdqWriter(model, plan.Samples);
        var symmetric = target == "tensorrt";
        foreach (var layer in plan.Layers)
        {
            var node = writer.Nodes[layer.Node];
            var tensor = layer.Activation;
            var smoothed = tensor.Smoothed;
            node.Input[0] = tensor.Format switch
            {
                "float" => node.Input[0],
                not "int8" => Activation(writer, layer, target),
                _ when smoothed is null => writer.Activation(tensor.Tensor, symmetric ? Int8Grid.Symmetric(tensor.Amax) : Int8Grid.Asymmetric(tensor.Low, tensor.High)),
                _ => writer.Smoothed(tensor.Tensor, symmetric ? Int8Grid.Symmetric(smoothed.Amax) : Int8Grid.Asymmetric(smoothed.Low, smoothed.High), smoothed.Factors, symmetric ? smoothed.Centres : null, layer.Output is null),
            };
            if (layer.Weight.Format == "float")
                continue;
            if (layer.Weight.Format is not ("int8" or "int4" or "int2"))
            {
                node.Input[1] = Weight(writer, layer.Weight, target);
                continue;
            }
            var weight = writer.Weight(layer, smoothed?.Factors, symmetric ? smoothed?.Centres : null, null);
            node.Input[1] = weight.Name;
            Correct(writer, layer, node, weight, symmetric);
        }
        foreach (var attention in plan.Attention)
        {
            Operands(writer, writer.Nodes[attention.Scores], target, attention.Q, attention.K);
            Operands(writer, writer.Nodes[attention.Output], target, attention.Probabilities, attention.V);
        }
        return writer.Finish();
    }

    /// <summary>Both operands of a product of activations.</summary>
    private static void Operands(QdqWriter writer, NodeProto product, string target, params TensorPlan[] tensors)
    {
        for (var i = 0; i < product.Input.Count; i++)
        {
            var tensor = tensors.First(t => t.Tensor == product.Input[i]);
            writer.Require(FormatWriter.Opset(tensor.Format, target), tensor.Format);
            product.Input[i] = writer.Insert(tensor.Tensor, Key(tensor), () => FormatWriter.Activation(target, tensor, reduction: 0));
        }
    }

    private static string Key(TensorPlan tensor) => $"{tensor.Format} {tensor.Amax:r}";

    private static string Activation(QdqWriter writer, LayerPlan layer, string target)
    {
        writer.Require(FormatWriter.Opset(layer.Activation.Format, target), layer.Activation.Format);
        var reduction = Reduction(layer, writer.Initializer(layer.Weight.Tensor));
        return writer.Insert(layer.Activation.Tensor, Key(layer.Activation), () => FormatWriter.Activation(target, layer.Activation, reduction));
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

    private static void Correct(QdqWriter writer, LayerPlan layer, NodeProto node, EncodedLayer weight, bool centred)
    {
        var correction = weight.RoundingCorrection.Select((c, o) => c + (centred ? weight.CentreCorrection[o] : 0)).ToArray();
        if (Array.TrueForAll(correction, c => c == 0))
            return;
        if (layer.Op == "MatMul")
        {
            writer.AddBehind(node, correction, insert: centred && layer.Activation.Smoothed?.Centres is not null);
            return;
        }
        var own = layer.Bias is null ? null : writer.Values(layer.Bias);
        var bias = writer.Vector(layer.Node + "_bias", [.. correction.Select((c, o) => c + (own?[o] ?? 0))]);
        if (node.Input.Count > 2)
            node.Input[2] = bias;
        else
            node.Input.Add(bias);
    }
}
