using QuantSdk.Onnx;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Engines.TensorRt.Rules;

/// <summary>TensorRT quantises symmetrically: zero points are there to say the type.</summary>
internal static class ZeroPointRules
{
    public static IReadOnlyList<GraphRule> All { get; } =
    [
        new("zero-point-stated", "A QuantizeLinear has a zero point or output_dtype: without, ONNX says uint8 and TensorRT int8.", true, graph =>
            from node in graph.Quantisers
            where ZeroPoint(node) is null && node.Int("output_dtype", 0) == 0
            select new Breach(node, null, "It has no zero point and no output_dtype, which is uint8 to ONNX and int8 to TensorRT.", "Give it an int8 zero point of 0.")),

        new("zero-point-constant", "Zero points are known when the engine is built.", true, graph =>
            from node in graph.Pairs
            let zero = ZeroPoint(node)
            where zero is not null && graph.Constant(zero) is null
            select new Breach(node, zero, $"The zero point '{zero}' is computed.", "Make it a constant of zeros.")),

        new("zero-point-zero", "Quantisation is symmetric: zero points are all 0.", true, graph =>
            from node in graph.Pairs
            let zero = ZeroPoint(node)
            where zero is not null && graph.Constant(zero) is { } constant && constant.RawData.Any(b => b != 0)
            select new Breach(node, zero, $"The zero point '{zero}' is not 0.", "Quantise symmetrically: a range [-a, a], of int8.")),

        new("zero-point-shape", "A zero point has the shape of its scale.", true, graph =>
            from node in graph.Pairs
            let zero = ZeroPoint(node)
            where zero is not null && graph.Shape(zero) is { } zeros && graph.Shape(node.Input[1]) is { } scales && !zeros.SequenceEqual(scales)
            select new Breach(node, zero, $"The zero point '{zero}' is [{string.Join(',', graph.Shape(zero)!)}] and the scale [{string.Join(',', graph.Shape(node.Input[1])!)}].", "Give both one shape.")),
    ];

    private static string? ZeroPoint(NodeProto node) => node.Input.Count > 2 && node.Input[2].Length > 0 ? node.Input[2] : null;
}
