using QuantSdk.Numerics;
using QuantSdk.Onnx;
using QuantSdk.Planning;

namespace QuantSdk.Rewriting;

/// <summary>A plan written into a graph in the form that one target executes fast.</summary>
internal static class Lowering
{
    public static ModelProto Lower(OnnxModel model, Plan plan, string target, RoundedWeights? rounded = null) => target switch
    {
        "cpu" => CpuLowering.Lower(model, plan, rounded),
        "tensorrt" => TensorRtLowering.Lower(model, plan, rounded),
        "sim" => SimLowering.Lower(model, plan, rounded),
        _ => throw new ArgumentOutOfRangeException(nameof(target), target, "cpu, tensorrt or sim"),
    };

    /// <summary>Q/DQ on the activation and DQ on the weight of every layer, nothing on outputs; smoothing and corrections by nodes of their own.</summary>
    /// <param name="target">tensorrt (symmetric grids, centred) or sim.</param>
    internal static ModelProto InputsOnly(OnnxModel model, Plan plan, string target, RoundedWeights? rounded)
    {
        var writer = new QdqWriter(model, plan.Layers, plan.Samples, rounded, negativeScales: target != "tensorrt");
        var symmetric = target == "tensorrt";
        foreach (var layer in plan.Layers)
        {
            var node = writer.Nodes[layer.Node];
            var tensor = layer.Activation;
            var smoothed = tensor.Smoothed;
            var centres = symmetric ? smoothed?.Centres : null;
            var factors = symmetric ? smoothed?.SymmetricFactors : smoothed?.Factors;
            node.Input[0] = tensor.Format switch
            {
                not "int8" => writer.Activation(layer, target),
                _ when smoothed is null => writer.Activation(tensor.Tensor, symmetric ? Int8Grid.Symmetric(tensor.Amax) : Int8Grid.Asymmetric(tensor.Low, tensor.High)),
                _ => writer.Smoothed(tensor.Tensor, symmetric ? Int8Grid.Symmetric(smoothed.Amax) : Int8Grid.Asymmetric(smoothed.Low, smoothed.High), factors!, centres, layer.Output is null),
            };
            var weight = layer.Weight.Format is "int8" or "int4" or "int2"
                ? writer.Weight(layer, factors, centres, (float[]?)null)
                : writer.Weight(layer, factors, centres, target);
            node.Input[1] = weight.Name;
            Correct(writer, layer, node, weight, symmetric);
        }
        foreach (var attention in plan.Attention)
        {
            writer.Operands(writer.Nodes[attention.Scores], target, attention.Q, attention.K);
            writer.Operands(writer.Nodes[attention.Output], target, attention.Probabilities, attention.V);
        }
        if (symmetric)
            writer.Residuals(plan.Layers.Where(l => l is { Op: "Conv" or "ConvTranspose", Activation.Format: "int8", Weight.Format: "int8" }).Select(l => l.Node).ToHashSet(StringComparer.Ordinal));
        return writer.Finish();
    }

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
