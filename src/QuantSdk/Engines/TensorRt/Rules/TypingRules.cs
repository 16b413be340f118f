using QuantSdk.Onnx;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Engines.TensorRt.Rules;

/// <summary>Strong typing: the types are what the graph says, and nothing is cast that it does not cast.</summary>
internal static class TypingRules
{
    /// <summary>The inputs of each operator that have one type, up to the last (−1).</summary>
    private static readonly Dictionary<string, (int First, int Last)> SameTypes = Table();

    public static IReadOnlyList<GraphRule> All { get; } =
    [
        new("one-type", "The inputs of an operator have one type, LayerNormalization's scale and bias included.", true, graph =>
            from node in graph.Nodes
            where node.Domain is "" or "ai.onnx" && SameTypes.ContainsKey(node.OpType)
            let range = SameTypes[node.OpType]
            let inputs = node.Input.Skip(range.First).Take(range.Last < 0 ? int.MaxValue : range.Last - range.First + 1).Where(i => i.Length > 0 && graph.TypeOf(i) != 0)
            where inputs.Select(graph.TypeOf).Distinct().Count() > 1
            let other = inputs.First(i => graph.TypeOf(i) != graph.TypeOf(inputs.First()))
            select new Breach(node, other, $"'{inputs.First()}' is {graph.TypeName(inputs.First())} and '{other}' {graph.TypeName(other)}.", "Put a Cast between, or store the constant in the other's type.")),

        new("output-type", "Outputs of the graph have the type that is computed.", true, graph =>
            from output in graph.View.Graph.Output
            let stated = (DataType)(output.Type?.TensorType?.ElemType ?? 0)
            let node = graph.View.Producer(output.Name)
            where stated != 0 && node is not null && graph.TypeOf(output.Name) != 0 && graph.TypeOf(output.Name) != stated
            select new Breach(node, output.Name, $"The output '{output.Name}' is stated as {ElementType.Name((int)stated)} and computed as {graph.TypeName(output.Name)}.", "Put a Cast before it, or state the other type.")),

        new("resize-bf16", "Resize is not of bfloat16.", true, graph =>
            from node in graph.Nodes
            where (node.Is("Resize") || node.Is("Upsample")) && graph.TypeOf(node.Input[0]) == DataType.Bfloat16
            select new Breach(node, node.Input[0], "Its input is bfloat16.", "Cast to float before it, and back behind it.")),

        new("resize-fp32", "Resize is run in 32 bits; Casts around it say so.", false, graph =>
            from node in graph.Nodes
            where (node.Is("Resize") || node.Is("Upsample")) && graph.TypeOf(node.Input[0]) == DataType.Float16
            select new Breach(node, node.Input[0], "Its input is float16.", "Cast to float before it, and back behind it.")),

        new("no-double", "64-bit floats are computed in 32 bits.", false, graph =>
            from node in graph.Nodes
            where !node.Is("Cast") && node.Input.Any(i => graph.TypeOf(i) == DataType.Double)
            select new Breach(node, node.Input.First(i => graph.TypeOf(i) == DataType.Double), "It computes in double.", "Cast to float before it.")),
    ];

    private static Dictionary<string, (int, int)> Table()
    {
        var table = new Dictionary<string, (int, int)>(StringComparer.Ordinal);
        foreach (var op in (string[])["Add", "Sub", "Mul", "Div", "MatMul", "Gemm", "Conv", "ConvTranspose", "Concat", "Min", "Max", "Sum", "Mean", "PRelu", "Mod", "Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Clip", "Einsum", "LayerNormalization", "RMSNormalization", "InstanceNormalization", "GroupNormalization", "Range"])
            table[op] = (0, -1);
        table["Where"] = (1, 2);
        return table;
    }
}
