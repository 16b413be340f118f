using QuantSdk.Onnx;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Rewriting;

/// <summary>
/// QuantizeLinear with a scale for each channel, written as a product and one with a single scale where ONNX Runtime will lay the tensor out
/// with channels last: there its kernel changes the scale at every element, 20 to 70 times slower than the two nodes. Layouts
/// spread from int8 convolutions through what works on any layout.
/// </summary>
internal static class ChannelsLast
{
    private static readonly HashSet<string> s_anyLayout =
        ["Add", "Sub", "Mul", "Div", "Relu", "Clip", "LeakyRelu", "HardSigmoid", "HardSwish", "Sigmoid", "Tanh", "Concat", "Resize", "Upsample", "MaxPool", "AveragePool", "Pad", "Identity", "DequantizeLinear", "QuantizeLinear"];

    public static ModelProto Avoid(ModelProto model)
    {
        var graph = model.Graph;
        var view = new GraphView(graph);
        var nodes = new List<NodeProto>();
        var added = new List<TensorProto>();
        foreach (var node in graph.Node)
        {
            if (Spread(view, node) is not var (scales, zeroPoint, dims))
            {
                nodes.Add(node);
                continue;
            }
            var (stem, scale) = (node.Output[0], scales.Max());
            added.Add(Tensors.Create(stem + "_ratio", Array.ConvertAll(scales, s => scale / s), [1, scales.Length, .. Enumerable.Repeat(1L, dims)]));
            added.Add(Tensors.Scalar(stem + "_scale1", scale));
            added.Add(Tensors.Scalar(stem + "_zero1", zeroPoint));
            nodes.Add(Nodes.Create("Mul", "", [node.Input[0], stem + "_ratio"], [stem + "_scaled"]));
            nodes.Add(Nodes.Create("QuantizeLinear", node.Name, [stem + "_scaled", stem + "_scale1", stem + "_zero1"], [node.Output[0]]));
        }
        if (added.Count == 0)
            return model;
        graph.Node.Clear();
        graph.Node.Add(nodes);
        graph.Initializer.Add(added);
        DeadCode.Remove(graph);
        return model;
    }

    /// <summary>The scales, the one zero point and the number of spatial dimensions of a node that has to change, or null.</summary>
    private static (float[] Scales, byte ZeroPoint, int Dims)? Spread(GraphView view, NodeProto node)
    {
        if (!node.Is("QuantizeLinear") || node.Input.Count < 3 || node.Int("axis", 1) != 1 || view.Initializer(node.Input[1]) is not { Dims: [> 1] } scales
            || view.Initializer(node.Input[2]) is not { DataType: (int)DataType.Uint8 } zeros || zeros.RawData.Span.ContainsAnyExcept(zeros.RawData[0]))
            return null;
        if (Spatial(view, node) is not { } dims || !IsReached(view, node.Input[0], []))
            return null;
        return (scales.ToFloats(), zeros.RawData[0], dims);
    }

    /// <summary>Spatial dimensions of the convolution that reads the codes.</summary>
    private static int? Spatial(GraphView view, NodeProto quantise) => view.Consumers(quantise.Output[0]).Where(c => c.Node.Is("DequantizeLinear"))
        .SelectMany(c => view.Consumers(c.Node.Output[0])).Where(c => c.Node.Is("Conv") && c.Input == 0)
        .Select(c => view.Producer(c.Node.Input[1])?.Input[0] ?? c.Node.Input[1]).Select(w => view.Initializer(w)?.Dims.Count - 2).FirstOrDefault();

    /// <summary>True where an int8 convolution's output arrives through nodes of any layout.</summary>
    private static bool IsReached(GraphView view, string tensor, HashSet<string> seen)
    {
        if (!seen.Add(tensor) || view.Producer(tensor) is not { Domain.Length: 0 } node)
            return false;
        return (node.Is("Conv") && view.Producer(node.Input[1])?.OpType == "DequantizeLinear") || (s_anyLayout.Contains(node.OpType) && node.Input.Any(i => IsReached(view, i, seen)));
    }
}
