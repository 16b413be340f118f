using QuantSdk.Onnx;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Rewriting;

/// <summary>
/// DequantizeLinear(u8) → MatMul(DequantizeLinear(s8 weight)) [→ Add(bias)] written as ONNX Runtime's int8 kernel, com.microsoft.MatMulIntegerToFloat.
/// ONNX Runtime makes the same kernel of the pair itself, but leaves the Add outside: a pass over the whole output, which costs as
/// much as the product where layers are narrow.
/// </summary>
internal static class LinearKernels
{
    /// <param name="dynamic">Products that quantise their activation by the range it has at run time, over the whole batch: com.microsoft.DynamicQuantizeMatMul.</param>
    public static ModelProto Write(ModelProto model, IReadOnlySet<string>? dynamic = null)
    {
        var graph = model.Graph;
        var view = new GraphView(graph);
        var replaced = new Dictionary<NodeProto, NodeProto?>(ReferenceEqualityComparer.Instance);
        foreach (var product in graph.Node.Where(n => n.Is("MatMul") || (n.Is("Gemm") && dynamic?.Contains(n.Name) == true)))
        {
            if (Dequantised(view, product.Input[1]) is not { } weight || view.Initializer(weight.Input[0]) is not { DataType: (int)DataType.Int8, Dims.Count: 2 } codes || weight.Int("block_size", 0) != 0)
                continue;
            if (product.Is("Gemm"))
            {
                replaced[product] = DynamicGemm(graph, product, weight, codes);
                continue;
            }
            if (!(view.Initializer(weight.Input[1])!.Count() == 1 || weight.Int("axis", 1) is 1 or -1))
                continue;
            string[] inputs;
            var last = product;
            var op = "MatMulIntegerToFloat";
            if (dynamic?.Contains(product.Name) == true)
                (op, inputs) = ("DynamicQuantizeMatMul", [product.Input[0], weight.Input[0], weight.Input[1], weight.Input[2]]);
            else if (Dequantised(view, product.Input[0]) is { } activation && Type(view, activation.Input[2]) == DataType.Uint8 && view.Initializer(activation.Input[1])!.Count() == 1)
                inputs = [activation.Input[0], weight.Input[0], activation.Input[1], weight.Input[1], activation.Input[2], weight.Input[2]];
            else
                continue;
            if (view.OnlyConsumer(product.Output[0]) is { } add && add.Is("Add") && !replaced.ContainsKey(add) && Bias(view, add, product.Output[0], codes.Dims[1]) is { } bias)
            {
                inputs = [.. inputs, bias];
                // The bias is constant, so the product may stand where the sum stood.
                replaced[product] = null;
                last = add;
            }
            replaced[last] = Nodes.Create(op, product.Name, inputs, [last.Output[0]], FloatFusions.Domain);
        }
        if (replaced.Count == 0)
            return model;
        var nodes = graph.Node.Select(n => replaced.TryGetValue(n, out var kernel) ? kernel : n).OfType<NodeProto>().ToArray();
        graph.Node.Clear();
        graph.Node.Add(nodes);
        DeadCode.Remove(graph);
        FloatFusions.ImportDomain(model);
        return model;
    }

    /// <summary>The same for Gemm, whose weight may be stored by output channels.</summary>
    private static NodeProto DynamicGemm(GraphProto graph, NodeProto gemm, NodeProto weight, TensorProto codes)
    {
        var name = codes.Name;
        if (gemm.Int("transB", 0) != 0)
        {
            name = codes.Name + "_t";
            var (rows, columns) = ((int)codes.Dims[0], (int)codes.Dims[1]);
            var source = codes.RawData.Span;
            var transposed = new byte[rows * columns];
            for (var r = 0; r < rows; r++)
            {
                for (var c = 0; c < columns; c++)
                    transposed[c * rows + r] = source[r * columns + c];
            }
            if (!graph.Initializer.Any(i => i.Name == name))
                graph.Initializer.Add(Tensors.Raw(name, DataType.Int8, transposed, columns, rows));
        }
        string[] bias = gemm.Input.Count > 2 && gemm.Input[2].Length > 0 ? [gemm.Input[2]] : [];
        return Nodes.Create("DynamicQuantizeMatMul", gemm.Name, [gemm.Input[0], name, weight.Input[1], weight.Input[2], .. bias], [gemm.Output[0]], FloatFusions.Domain);
    }

    private static NodeProto? Dequantised(GraphView view, string tensor) =>
        view.Producer(tensor) is { } node && node.Is("DequantizeLinear") && node.Input.Count == 3 && view.Initializer(node.Input[1]) is not null ? node : null;

    private static DataType Type(GraphView view, string tensor) => (DataType)(view.Initializer(tensor)?.DataType ?? 0);

    /// <summary>The other operand of the sum if it is one float for each output channel.</summary>
    private static string? Bias(GraphView view, NodeProto add, string product, long channels)
    {
        var other = add.Input[0] == product ? add.Input[1] : add.Input[0];
        return view.Initializer(other) is { DataType: (int)DataType.Float, Dims: [var count] } && count == channels ? other : null;
    }
}
