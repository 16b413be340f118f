using QuantSdk.Onnx;
using QuantSdk.Rewriting;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Engines.TensorRt.Rules;

/// <summary>Scales by block: integers of 4 bits, nvfp4 and mxfp8.</summary>
internal static class BlockRules
{
    public static IReadOnlyList<GraphRule> All { get; } =
    [
        new("block-axis", "Blocks run along one axis, the last or the second to last.", true, graph =>
            from node in graph.Pairs
            let dims = graph.Shape(node.Input[0])
            where node.Int("block_size", 0) > 0 && dims is not null && ScaleRules.Axis(node, dims.Count) < dims.Count - 2
            select new Breach(node, null, $"Its blocks run along axis {node.Int("axis", 1)} of {dims.Count}.", "Put blocks along the last axis or the one before.")),

        new("block-one-axis", "Scales by block differ from the data along the blocked axis alone.", true, graph =>
            from node in graph.Pairs
            let dims = graph.Shape(node.Input[0])
            let scales = graph.Shape(node.Input[1])
            where node.Int("block_size", 0) > 0 && dims is not null && scales is not null && dims.Count == scales.Count
            let axis = ScaleRules.Axis(node, dims.Count)
            where dims.Zip(scales).Where((d, i) => i != axis && d.First >= 0 && d.Second >= 0 && d.First != d.Second).Any()
            select new Breach(node, node.Input[1], $"The scale is [{string.Join(',', scales)}] for data [{string.Join(',', dims)}] with blocks along axis {axis}.", "Give every other axis its full length.")),

        new("block-whole", "Blocks divide the axis: data and scale have that ratio.", true, graph =>
            from node in graph.Pairs
            let dims = graph.Shape(node.Input[0])
            let scales = graph.Shape(node.Input[1])
            let size = node.Int("block_size", 0)
            where size > 0 && dims is not null && scales is not null && dims.Count == scales.Count
            let axis = ScaleRules.Axis(node, dims.Count)
            where axis >= 0 && axis < dims.Count && dims[axis] >= 0 && scales[axis] >= 0 && dims[axis] != scales[axis] * size
            select new Breach(node, node.Input[1], $"{dims[axis]} elements along axis {axis} are not {scales[axis]} blocks of {size}.", "Choose a block size that divides the axis.")),

        new("int4-block", "Blocks of int4 have 64 or 128 elements along the reduction axis.", false, graph =>
            from node in graph.Dequantisers
            where graph.Codes(node) == DataType.Int4 && node.Int("block_size", 0) is > 0 and not (64 or 128)
            select new Breach(node, node.Input[1], $"Its blocks have {node.Int("block_size", 0)} elements.", "Use BlockSize 64 or 128: TensorRT's documentation lists these.")),

        new("int4-reduction", "Blocks of an int4 weight run along the axis that the product sums over.", true, graph =>
            from product in graph.Nodes.Where(n => n.Is("MatMul") || n.Is("Gemm"))
            let node = graph.View.Producer(product.Input[1])
            where node is not null && node.Is("DequantizeLinear") && graph.Codes(node) == DataType.Int4 && node.Int("block_size", 0) > 0
            let dims = graph.Shape(node.Input[0])
            where dims is { Count: >= 2 } && ScaleRules.Axis(node, dims.Count) != (product.Int("transB", 0) != 0 ? dims.Count - 1 : dims.Count - 2)
            select new Breach(node, node.Input[1], $"Its blocks run along axis {node.Int("axis", 1)} of the weight of '{product.Label()}', which are output channels.", "Put blocks along the reduction axis.")),

        new("nvfp4-weight", "float4e2m1 is dequantised in blocks of 16 along the last axis, by scales that a DequantizeLinear makes of float8e4m3fn with one float scale.", true, graph =>
            from node in graph.Dequantisers
            where graph.Codes(node) == DataType.Float4E2M1
            let scale = graph.View.Producer(node.Input[1])
            let rank = graph.Shape(node.Input[0])?.Count
            where node.Int("block_size", 0) != 16 || (node.Int("axis", 1) != -1 && node.Int("axis", 1) + 1 != rank)
                || scale is null || !scale.Is("DequantizeLinear") || graph.Codes(scale) != DataType.Float8E4M3Fn || graph.TypeOf(scale.Input[1]) != DataType.Float
            select new Breach(node, node.Input[1], $"It has blocks of {node.Int("block_size", 0)} along axis {node.Int("axis", 1)}, with scales {(scale is null ? "that are stored" : $"of {scale.OpType}")}.", "Write two chained DequantizeLinear: float8e4m3fn scales with a float scale, then float4e2m1 with axis -1 and block_size 16.")),

        new("nvfp4-activation", "TRT_FP4DynamicQuantize has axis -1, block_size 16, scale_type 17 (float8e4m3fn), one constant float scale and two results.", true, graph =>
            from node in graph.Nodes.Where(n => CheckedGraph.IsTensorRt(n) && n.OpType == "TRT_FP4DynamicQuantize")
            where node.Int("axis", 0) != -1 || node.Int("block_size", 0) != 16 || node.Int("scale_type", 0) != (long)DataType.Float8E4M3Fn || node.Output.Count != 2
                || node.Input.Count != 2 || graph.TypeOf(node.Input[1]) != DataType.Float || graph.Constant(node.Input[1]) is not { } scale || scale.Count() != 1
            select new Breach(node, null, $"It has axis {node.Int("axis", 0)}, block_size {node.Int("block_size", 0)}, scale_type {node.Int("scale_type", 0)}, {node.Input.Count} inputs and {node.Output.Count} results.", "Write them all, with a scale of amax / (6 · 448).")),

        new("mxfp8", "TRT_MXFP8DynamicQuantize has one input, axis -1 and block_size 32; TRT_MXFP8DequantizeLinear E8M0 scales as uint8, and output_dtype.", true, graph =>
            from node in graph.Nodes.Where(n => CheckedGraph.IsTensorRt(n) && n.OpType is "TRT_MXFP8DynamicQuantize" or "TRT_MXFP8DequantizeLinear")
            let dynamic = node.OpType == "TRT_MXFP8DynamicQuantize"
            where node.Int("axis", -1) != -1 || node.Int("block_size", 0) != 32
                || (dynamic ? node.Input.Count != 1 || node.Output.Count != 2 : node.Input.Count != 2 || graph.TypeOf(node.Input[0]) != DataType.Float8E4M3Fn || graph.TypeOf(node.Input[1]) != DataType.Uint8 || node.Int("output_dtype", 0) == 0)
            select new Breach(node, null, $"It has {node.Input.Count} inputs ({string.Join(", ", node.Input.Select(graph.TypeName))}), axis {node.Int("axis", -1)}, block_size {node.Int("block_size", 0)} and output_dtype {node.Int("output_dtype", 0)}.", "Write axis -1 and block_size 32, float8e4m3fn numbers, uint8 scales and output_dtype.")),

        new("block-extent", "The blocked axis of a dynamically quantised tensor is static and a multiple of the block.", true, graph =>
            from node in graph.Nodes.Where(n => CheckedGraph.IsTensorRt(n) && n.OpType is "TRT_FP4DynamicQuantize" or "TRT_MXFP8DynamicQuantize")
            let dims = graph.Shape(node.Input[0])
            let size = node.Int("block_size", 0)
            where size > 0 && dims is { Count: > 0 } && (dims[^1] < 0 || dims[^1] % size != 0)
            select new Breach(node, node.Input[0], $"The last axis of '{node.Input[0]}' is {(dims[^1] < 0 ? "dynamic" : dims[^1])}.", $"Leave this activation in floating point, or pad it to a multiple of {size}.")),
    ];
}
