using QuantSdk.Onnx;
using QuantSdk.Rewriting;

namespace QuantSdk.Engines.TensorRt.Rules;

/// <summary>Operators that TensorRT's parser does not have.</summary>
internal static class OperatorRules
{
    private static readonly HashSet<string> NotImported = ["QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger", "DynamicQuantizeLinear"];

    private static readonly HashSet<string> OfTensorRt =
    [
        "TRT_FP8QuantizeLinear", "TRT_FP8DequantizeLinear", "TRT_INT4QuantizeLinear", "TRT_INT4DequantizeLinear", "TRT_FP4DynamicQuantize", "TRT_MXFP8DynamicQuantize", "TRT_MXFP8QuantizeLinear", "TRT_MXFP8DequantizeLinear",
        "TRT_BlockQuantize", "TRT_BlockDequantize", "TRT_DynamicQuantize",
    ];

    public static IReadOnlyList<GraphRule> All { get; } =
    [
        new("quantised-operators", "QLinearConv, QLinearMatMul, ConvInteger, MatMulInteger and DynamicQuantizeLinear are not imported.", true, graph =>
            from node in graph.Nodes
            where node.Domain is "" or "ai.onnx" && NotImported.Contains(node.OpType)
            select new Breach(node, null, $"TensorRT does not import {node.OpType}.", "Write QuantizeLinear and DequantizeLinear around the operator in floating point.")),

        new("runtime-operators", "Operators of com.microsoft are ONNX Runtime's own: they come of saving an optimised model.", true, graph =>
            from node in graph.Nodes
            where node.Domain.StartsWith("com.microsoft", StringComparison.Ordinal)
            select new Breach(node, null, $"{node.Domain}.{node.OpType} is an operator of ONNX Runtime.", "Quantise the model as it was exported, not ONNX Runtime's optimised one.")),

        new("plugins", "An operator of another domain is a plugin, which trtexec is given as a library.", false, graph =>
            from node in graph.Nodes
            where node.Domain is not ("" or "ai.onnx") && !node.Domain.StartsWith("com.microsoft", StringComparison.Ordinal) && !(CheckedGraph.IsTensorRt(node) && OfTensorRt.Contains(node.OpType))
            select new Breach(node, null, $"{node.Domain}.{node.OpType} is no operator of ONNX.", "Name the library that has it in Plugins.")),
    ];
}
