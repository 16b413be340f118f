using QuantSdk.Onnx;

namespace QuantSdk.Rewriting;

/// <summary>Folds an inference BatchNormalization into the convolution before it: W' = W·γ/√(σ²+ε), b' = (b−μ)·γ/√(σ²+ε)+β.</summary>
internal static class BatchNormFolding
{
    public static void Fold(GraphProto graph)
    {
        var view = new GraphView(graph);
        var gone = new HashSet<NodeProto>(ReferenceEqualityComparer.Instance);
        foreach (var norm in graph.Node.Where(n => n.Is("BatchNormalization") && n.Int("training_mode", 0) == 0 && n.Output.Count(o => o.Length > 0) == 1))
        {
            if (view.Producer(norm.Input[0]) is not { } conv || !conv.Is("Conv") || view.OnlyConsumer(conv.Output[0]) != norm)
                continue;
            var bias = conv.Input.Count > 2 && conv.Input[2].Length > 0 ? conv.Input[2] : null;
            if (view.Initializer(conv.Input[1]) is not { } weight || view.Consumers(weight.Name).Count != 1 || (bias is not null && view.Initializer(bias) is null))
                continue;
            var parameters = norm.Input.Skip(1).Select(view.Initializer).ToArray();
            if (parameters.Length != 4 || parameters.Any(p => p is null || p.DataType != (int)TensorProto.Types.DataType.Float) || weight.DataType != (int)TensorProto.Types.DataType.Float)
                continue;
            float[] gamma = parameters[0]!.ToFloats(), beta = parameters[1]!.ToFloats(), mean = parameters[2]!.ToFloats(), variance = parameters[3]!.ToFloats();
            var w = weight.ToFloats();
            var b = bias is null ? new float[gamma.Length] : view.Initializer(bias)!.ToFloats();
            var perChannel = w.Length / gamma.Length;
            var epsilon = norm.Float("epsilon", 1e-5f);
            for (var c = 0; c < gamma.Length; c++)
            {
                var factor = gamma[c] / Math.Sqrt((double)variance[c] + epsilon);
                for (var i = c * perChannel; i < (c + 1) * perChannel; i++)
                    w[i] = (float)(w[i] * factor);
                b[c] = (float)(((double)b[c] - mean[c]) * factor + beta[c]);
            }
            var foldedWeight = Tensors.Create(weight.Name + "_folded", w, [.. weight.Dims]);
            var foldedBias = Tensors.Vector(conv.Output[0] + "_bias", b);
            graph.Initializer.Add(foldedWeight);
            graph.Initializer.Add(foldedBias);
            conv.Input[1] = foldedWeight.Name;
            if (conv.Input.Count > 2)
                conv.Input[2] = foldedBias.Name;
            else
                conv.Input.Add(foldedBias.Name);
            conv.Output[0] = norm.Output[0];
            gone.Add(norm);
        }
        DeadCode.Retain(graph.Node, n => !gone.Contains(n));
    }
}
