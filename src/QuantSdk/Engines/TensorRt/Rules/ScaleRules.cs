using QuantSdk.Onnx;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Engines.TensorRt.Rules;

/// <summary>Scales: their values, shapes, axes and types.</summary>
internal static class ScaleRules
{
    public static IReadOnlyList<GraphRule> All { get; } =
    [
        new("scale-positive", "Scales are finite and above 0.", true, graph =>
            from node in graph.Pairs
            let bad = (graph.Values(node.Input[1]) ?? []).FirstOrDefault(s => !(s > 0) || !float.IsFinite(s), 1)
            where bad != 1
            select new Breach(node, node.Input[1], $"The scale '{node.Input[1]}' holds {CheckedGraph.Number(bad)}.", "Raise it to a small positive number; a channel of zeros takes any.")),

        new("activation-per-tensor", "Activations have one scale; several along an axis are for constants.", true, graph =>
            from node in graph.Pairs
            where node.Int("block_size", 0) == 0 && graph.Shape(node.Input[1]) is { Count: 1 } scales && scales[0] > 1 && !IsConstant(graph, node)
            select new Breach(node, node.Input[1], $"It has {graph.Shape(node.Input[1])![0]} scales, and its input is no constant.", "Give activations one scale a tensor.")),

        new("axis-written", "Several scales come with an axis: its default differs between versions of TensorRT.", true, graph =>
            from node in graph.Pairs
            where graph.Shape(node.Input[1]) is { } scales && CheckedGraph.Elements(scales) > 1 && node.Attribute("axis") is null
            select new Breach(node, node.Input[1], "It has several scales and no axis.", "Write the axis.")),

        new("scale-rank", "A scale is one number, a vector along the axis, or, for blocks, of the rank of what is quantised.", true, graph =>
            from node in graph.Pairs
            let data = graph.Shape(node.Input[0])
            let scales = graph.Shape(node.Input[1])
            where data is not null && scales is not null && CheckedGraph.Elements(scales) != 1 && scales.Count != 1 && scales.Count != data.Count
            select new Breach(node, node.Input[1], $"The scale has {scales.Count} dimensions, and what it is for {data.Count}.", "Give it one number, one a channel, or one a block.")),

        new("scale-count", "There are as many scales as channels along the axis.", true, graph =>
            from node in graph.Pairs
            let data = graph.Shape(node.Input[0])
            let scales = graph.Shape(node.Input[1])
            where data is not null && scales is { Count: 1 } && scales[0] > 1 && Axis(node, data.Count) is var axis && (axis < 0 || axis >= data.Count || (data[axis] >= 0 && data[axis] != scales[0]))
            select new Breach(node, node.Input[1], $"There are {scales[0]} scales along axis {node.Int("axis", 1)} of [{string.Join(',', data)}].", "Give each channel of the axis one.")),

        new("channel-axis", "The axis of a weight is its output channel: 0 of Conv and of Gemm with transB, 1 of ConvTranspose, the last of MatMul and Gemm.", true, graph =>
            from node in graph.Nodes.Where(CheckedGraph.IsWeighted)
            let weight = graph.View.Producer(node.Input[1])
            where weight is not null && weight.Is("DequantizeLinear") && weight.Int("block_size", 0) == 0 && graph.Shape(weight.Input[1]) is { Count: 1 } scales && scales[0] > 1
            let dims = graph.Shape(weight.Input[0])
            where dims is not null
            let wanted = node.OpType switch { "Conv" => 0, "ConvTranspose" => 1, "Gemm" when node.Int("transB", 0) != 0 => 0, _ => dims.Count - 1 }
            where Axis(weight, dims.Count) != wanted
            select new Breach(weight, weight.Input[1], $"Its scales run along axis {weight.Int("axis", 1)} of the weight of the {node.OpType} '{node.Label()}'.", $"Quantise along axis {wanted}, the output channels.")),

        new("scale-type", "A scale of 16 bits has the type of what is quantised.", true, graph =>
            from node in graph.Quantisers
            where graph.IsHalf(node.Input[1]) && graph.TypeOf(node.Input[0]) != 0 && graph.TypeOf(node.Input[0]) != graph.TypeOf(node.Input[1])
            select new Breach(node, node.Input[1], $"The scale is {graph.TypeName(node.Input[1])} and the input {graph.TypeName(node.Input[0])}.", "Give both one type.")),

        new("scale-of-half", "A scale for 16-bit activations is of their type too; TensorRT takes one of 32 bits, ONNX not before opset 23.", false, graph =>
            from node in graph.Quantisers
            where graph.IsHalf(node.Input[0]) && graph.TypeOf(node.Input[1]) == DataType.Float
            select new Breach(node, node.Input[1], $"The scale is float and the input {graph.TypeName(node.Input[0])}.", "Store the scale in the input's type.")),
    ];

    internal static int Axis(NodeProto node, int rank) => (int)node.Int("axis", 1) is var axis && axis < 0 ? axis + rank : axis;

    private static bool IsConstant(CheckedGraph graph, NodeProto node) =>
        graph.Constant(node.Input[0]) is not null || (graph.View.Producer(node.Input[0]) is { } q && q.Is("QuantizeLinear") && graph.Constant(q.Input[0]) is not null);
}
