using QuantSdk.Engines;
using QuantSdk.Onnx;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Rewriting;

/// <summary>
/// Products with constant weights in the one form that planning and the lowerings know: Gemm without transA, alpha and beta, with a
/// bias of one number an output channel; MatMul with a weight of two dimensions where the others are 1.
/// </summary>
internal static class ProductForms
{
    public static void Normalise(ModelProto model)
    {
        var graph = model.Graph;
        var view = new GraphView(graph);
        var names = new UniqueNames(graph);
        var ranks = new Lazy<IReadOnlyDictionary<string, TypeProto.Types.Tensor>>(() => TypeInference.Infer(model));
        for (var i = 0; i < graph.Node.Count; i++)
        {
            var node = graph.Node[i];
            if (!node.Is("Gemm") && !node.Is("MatMul") || view.Initializer(node.Input[1]) is not { DataType: (int)DataType.Float } weight)
                continue;
            if (node.Is("MatMul"))
            {
                if (weight.Dims.Count > 2 && weight.Dims.SkipLast(2).All(d => d == 1) && ranks.Value.GetValueOrDefault(node.Input[0])?.Shape?.Dim.Count >= weight.Dims.Count)
                    node.Input[1] = Add(Tensors.Raw(names.Make(weight.Name + "_matrix"), DataType.Float, [], [.. weight.Dims.TakeLast(2)]), weight.RawData);
                continue;
            }
            if (node.Int("transA", 0) != 0)
            {
                var transposed = names.Make(node.Input[0] + "_transposed");
                graph.Node.Insert(i++, Nodes.Create("Transpose", names.Make(node.Name + "_transposed"), [node.Input[0]], [transposed]).With("perm", 1, 0));
                node.Input[0] = transposed;
            }
            if (node.Float("alpha", 1) is var alpha and not 1)
                node.Input[1] = AddFloats(weight.Name + "_scaled", Array.ConvertAll(weight.ToFloats(), w => w * alpha), [.. weight.Dims]);
            foreach (var attribute in node.Attribute.Where(a => a.Name is "transA" or "alpha").ToArray())
                node.Attribute.Remove(attribute);
            Bias(node, weight.Dims[node.Int("transB", 0) != 0 ? 0 : 1]);
        }

        void Bias(NodeProto node, long channels)
        {
            var bias = node.Input.Count > 2 && node.Input[2].Length > 0 ? view.Initializer(node.Input[2]) : null;
            if (bias is null && node.Input.Count > 2 && node.Input[2].Length > 0)
                return;
            var beta = node.Float("beta", 1);
            if (node.Attribute("beta") is { } attribute)
                node.Attribute.Remove(attribute);
            if (bias?.DataType != (int)DataType.Float)
                return;
            var values = bias.ToFloats();
            var perChannel = values.Length == channels && bias.Dims[^1] == channels;
            if (beta == 1 && perChannel && bias.Dims.Count == 1)
                return;
            values = Array.ConvertAll(values, v => v * beta);
            if (perChannel || values.Length == 1)
                node.Input[2] = AddFloats(bias.Name + "_row", perChannel ? values : [.. Enumerable.Repeat(values[0], (int)channels)], channels);
            else if (beta != 1)
                node.Input[2] = AddFloats(bias.Name + "_scaled", values, [.. bias.Dims]);
        }

        string AddFloats(string stem, float[] values, params long[] dims) => Add(Tensors.Create(names.Make(stem), values, dims), null);

        string Add(TensorProto tensor, Google.Protobuf.ByteString? data)
        {
            // Shared bytes stay shared, and mapped ones mapped.
            if (data is not null)
                tensor.RawData = data;
            graph.Initializer.Add(tensor);
            return tensor.Name;
        }
    }
}
