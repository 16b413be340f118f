using QuantSdk.Onnx;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Engines.TensorRt;

/// <summary>The 8-bit and narrower types that a Q/DQ graph quantises to.</summary>
internal static class QuantisedTypes
{
    /// <returns>Among int8, fp8, int4, fp4; by the zero points of its Q/DQ nodes and by what constants they decode.</returns>
    public static IReadOnlySet<string> Of(GraphProto graph)
    {
        var found = new HashSet<string>(StringComparer.Ordinal);
        Collect(graph, found);
        return found;
    }

    private static void Collect(GraphProto graph, HashSet<string> found)
    {
        var types = graph.Initializer.GroupBy(t => t.Name, StringComparer.Ordinal).ToDictionary(g => g.Key, g => g.First().DataType, StringComparer.Ordinal);
        foreach (var node in graph.Node)
        {
            if (node.OpType is "QuantizeLinear" or "DequantizeLinear")
            {
                foreach (var input in node.Input)
                {
                    if (types.TryGetValue(input, out var type) && Name(type) is { } name)
                        found.Add(name);
                }
                // Neither a zero point nor output_dtype: int8 to TensorRT.
                if (node.OpType == "QuantizeLinear" && node.Input.Count(i => i.Length > 0) < 3)
                    found.Add(Name((int)(node.Attribute("output_dtype")?.I ?? (long)DataType.Int8)) ?? "int8");
            }
            foreach (var body in node.Bodies())
                Collect(body, found);
        }
    }

    private static string? Name(int type) => (DataType)type switch
    {
        DataType.Int8 or DataType.Uint8 => "int8",
        DataType.Float8E4M3Fn => "fp8",
        DataType.Int4 => "int4",
        DataType.Float4E2M1 => "fp4",
        _ => null,
    };
}
