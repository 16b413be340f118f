using QuantSdk.Onnx;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Engines.TensorRt.Rules;

/// <summary>The types that quantised numbers may have, and what each of them wants.</summary>
internal static class FormatRules
{
    private static readonly HashSet<DataType> Quantised = [DataType.Int8, DataType.Int4, DataType.Float8E4M3Fn, DataType.Float4E2M1];

    private static readonly HashSet<DataType> OtherFp8 = [DataType.Float8E4M3Fnuz, DataType.Float8E5M2, DataType.Float8E5M2Fnuz];

    public static IReadOnlyList<GraphRule> All { get; } =
    [
        new("bias-in-float", "Biases are not quantised: a DequantizeLinear of int32 is not imported.", true, graph =>
            from node in graph.Dequantisers
            where graph.Codes(node) == DataType.Int32
            select new Breach(node, node.Input[0], "It dequantises int32, as ONNX Runtime's quantiser does with biases.", "Leave biases in floating point (QuantizeBias=False there).")),

        new("fp8-e4m3", "8-bit floats are E4M3 (float8e4m3fn).", true, graph =>
            from node in graph.Pairs
            where OtherFp8.Contains(graph.Codes(node))
            select new Breach(node, null, $"It quantises to {ElementType.Name((int)graph.Codes(node))}.", "Quantise to float8e4m3fn.")),

        new("quantised-type", "Quantised numbers are int8, int4, float8e4m3fn or float4e2m1. uint8 is refused, or taken for int8.", true, graph =>
            from node in graph.Pairs
            let codes = graph.Codes(node)
            where codes != 0 && !Quantised.Contains(codes) && !OtherFp8.Contains(codes) && codes != DataType.Int32 && ZeroPointOrType(graph, node)
            select new Breach(node, null, $"It quantises to {ElementType.Name((int)codes)}.", "Quantise to int8, with zero points of 0.")),

        new("quantised-rank", "A scalar is not quantised.", true, graph =>
            from node in graph.Quantisers
            where graph.Shape(node.Input[0]) is { Count: 0 }
            select new Breach(node, node.Input[0], $"Its input '{node.Input[0]}' is a scalar.", "Leave it in floating point, or give it one dimension.")),

        new("fp8-saturate", "Quantising to fp8 saturates.", true, graph =>
            from node in graph.Quantisers
            where graph.Codes(node) == DataType.Float8E4M3Fn && node.Int("saturate", 1) == 0
            select new Breach(node, null, "saturate is 0: values beyond 448 become NaN to ONNX, and 448 to TensorRT.", "Remove the attribute.")),

        new("int4-weights", "4-bit integers are for constant weights of MatMul and Gemm.", true, graph =>
            from node in graph.Pairs
            where graph.Codes(node) == DataType.Int4 && (node.Is("QuantizeLinear") ? graph.Constant(node.Input[0]) is null : !graph.IsStored(node) && graph.View.Producer(node.Input[0]) is not { OpType: "QuantizeLinear" }
                || Readers(graph, node.Output[0]).Any(r => !(r.Is("MatMul") || r.Is("Gemm"))))
            select new Breach(node, null, "int4 is used for something else than the constant weight of a MatMul or Gemm.", "Keep it in floating point, or use int8.")),

        new("int4-even", "4-bit tensors have an even number of elements.", true, graph =>
            from node in graph.Dequantisers
            where graph.Codes(node) is DataType.Int4 or DataType.Float4E2M1 && graph.Shape(node.Input[0]) is { } dims && dims.All(d => d >= 0) && CheckedGraph.Elements(dims) % 2 != 0
            select new Breach(node, node.Input[0], $"'{node.Input[0]}' has {CheckedGraph.Elements(graph.Shape(node.Input[0])!)} elements.", "Leave this weight in floating point.")),

        new("opset", "The operator set has what the graph uses: per-tensor pairs 10, axis 13, fp8 and 16-bit scales 19, int4, block_size and output_dtype 21, float4e2m1 and precision 23, E8M0 24.", true, graph =>
            from node in graph.Pairs
            let needed = Needed(graph, node)
            where graph.Opset < needed
            select new Breach(node, null, $"It needs opset {needed}; the model imports {graph.Opset}.", "Convert the model to that operator set.")),
    ];

    /// <summary>What reads a weight, past what only moves or widens it.</summary>
    private static IEnumerable<NodeProto> Readers(CheckedGraph graph, string tensor) =>
        graph.View.Consumers(tensor).Select(c => c.Node).SelectMany(n => n.OpType is "Transpose" or "Cast" or "Reshape" ? Readers(graph, n.Output[0]) : [n]);

    /// <summary>Where neither is there, that is what another rule says.</summary>
    private static bool ZeroPointOrType(CheckedGraph graph, NodeProto? node) =>
        node is null || !node.Is("QuantizeLinear") ? node is null || ZeroPointOrType(graph, graph.View.Producer(node.Input[0]) is { OpType: "QuantizeLinear" } q ? q : null) : (node.Input.Count > 2 && node.Input[2].Length > 0) || node.Int("output_dtype", 0) != 0;

    private static long Needed(CheckedGraph graph, NodeProto node)
    {
        var codes = graph.Codes(node);
        var scale = graph.TypeOf(node.Input[1]);
        long needed = node.Attribute("axis") is null ? 10 : 13;
        if (codes == DataType.Float8E4M3Fn || OtherFp8.Contains(codes) || scale is DataType.Float16 or DataType.Bfloat16)
            needed = 19;
        if (codes is DataType.Int4 or DataType.Uint4 || node.Int("block_size", 0) > 0 || (node.Is("QuantizeLinear") && node.Int("output_dtype", 0) > 0))
            needed = 21;
        if (codes == DataType.Float4E2M1 || node.Int("precision", 0) > 0 || (node.Is("DequantizeLinear") && node.Int("output_dtype", 0) > 0))
            needed = 23;
        return scale == DataType.Float8E8M0 ? 24 : codes is DataType.Int2 or DataType.Uint2 ? 25 : needed;
    }
}
