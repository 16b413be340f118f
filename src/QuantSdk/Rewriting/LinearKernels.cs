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
    public static ModelProto Write(ModelProto model)
    {
        var graph = model.Graph;
        var view = new GraphView(graph);
        var replaced = new Dictionary<NodeProto, NodeProto?>(ReferenceEqualityComparer.Instance);
        foreach (var product in graph.Node.Where(n => n.Is("MatMul")))
        {
            if (Dequantised(view, product.Input[0]) is not { } activation || Type(view, activation.Input[2]) != DataType.Uint8 || view.Initializer(activation.Input[1]) is not { } scale || scale.Count() != 1
                || Dequantised(view, product.Input[1]) is not { } weight || view.Initializer(weight.Input[0]) is not { DataType: (int)DataType.Int8, Dims.Count: 2 } codes
                || !(view.Initializer(weight.Input[1])!.Count() == 1 || weight.Int("axis", 1) is 1 or -1) || weight.Int("block_size", 0) != 0)
                continue;
            string[] inputs = [activation.Input[0], weight.Input[0], activation.Input[1], weight.Input[1], activation.Input[2], weight.Input[2]];
            var last = product;
            if (view.OnlyConsumer(product.Output[0]) is { } add && add.Is("Add") && !replaced.ContainsKey(add) && Bias(view, add, product.Output[0], codes.Dims[1]) is { } bias)
            {
                inputs = [.. inputs, bias];
                // The bias is constant, so the product may stand where the sum stood.
                replaced[product] = null;
                last = add;
            }
            replaced[last] = Nodes.Create("MatMulIntegerToFloat", product.Name, inputs, [last.Output[0]], FloatFusions.Domain);
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
