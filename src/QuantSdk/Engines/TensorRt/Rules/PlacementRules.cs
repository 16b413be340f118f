using QuantSdk.Onnx;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Engines.TensorRt.Rules;

/// <summary>Where pairs go so that TensorRT fuses them: recommendations of its documentation.</summary>
internal static class PlacementRules
{
    private static readonly HashSet<string> Moves = ["Transpose", "Reshape", "Cast", "Flatten", "Squeeze", "Unsqueeze", "Slice", "Split", "Concat", "MaxPool", "Gather", "Expand", "Identity", "Pad"];

    public static IReadOnlyList<GraphRule> All { get; } =
    [
        new("both-inputs", "A convolution or product in 8 bits has both inputs quantised; with one it runs in high precision (as a model with quantised weights alone does).", false, graph =>
            from node in graph.Nodes.Where(CheckedGraph.IsWeighted)
            let activation = graph.Dequantiser(node.Input[0])
            let weight = graph.Dequantiser(node.Input[1])
            where (activation is not null && !graph.IsStored(activation) && weight is null) || (node.Is("MatMul") && activation is null && weight is not null && !graph.IsStored(weight)) || (node.OpType.StartsWith("Conv", StringComparison.Ordinal) && activation is null && weight is not null && graph.Quantisers.Any())
            let other = activation is null ? 0 : 1
            select new Breach(node, node.Input[other], $"'{node.Input[other]}' is not quantised, and the other input is.", "Quantise both inputs, or neither.")),

        new("output-unquantised", "The output of a convolution or product is quantised where something in 8 bits reads it, and not else.", false, graph =>
            from node in graph.Quantisers
            where graph.View.Producer(node.Input[0]) is { } producer && CheckedGraph.IsWeighted(producer) && Ends(graph, node.Output[0]).All(r => !CheckedGraph.IsWeighted(r) && r.OpType != "Add")
            select new Breach(node, node.Input[0], $"It quantises the output of '{graph.View.Producer(node.Input[0])!.Label()}' for {string.Join(", ", Ends(graph, node.Output[0]).Select(r => r.OpType).Distinct().DefaultIfEmpty("nobody"))}.", "Remove the pair.")),

        new("one-pair", "A tensor has one pair for a scale, which all its readers share.", false, graph =>
            from pair in graph.Quantisers.GroupBy(n => (n.Input[0], Scale: Scale(graph, n), Codes: graph.Codes(n)))
            where pair.Count() > 1 && pair.Key.Scale is not null
            select new Breach(pair.Last(), pair.Key.Item1, $"'{pair.Key.Item1}' is quantised {pair.Count()} times by the same scale.", "Let all readers share one pair.")),

        new("batch-norm-folded", "Batch normalisation is folded into the convolution before it is quantised.", false, graph =>
            from node in graph.Nodes.Where(n => n.Is("BatchNormalization"))
            let convolution = graph.View.Producer(node.Input[0])
            where convolution is not null && convolution.OpType.StartsWith("Conv", StringComparison.Ordinal) && graph.Dequantiser(convolution.Input[1]) is not null
            select new Breach(node, node.Input[0], $"It stands behind the quantised '{convolution.Label()}'.", "Fold it into the weight before quantising.")),

        new("residual", "Where the other input of an Add behind a quantised convolution is quantised for others already, the Add reads it from that pair, so that it fuses into the convolution.", false, graph =>
            from node in graph.Nodes.Where(n => n.Is("Add") && n.Input[0] != n.Input[1])
            from skip in (int[])[0, 1]
            where IsQuantisedConvolution(graph, node.Input[1 - skip]) && graph.View.Producer(node.Input[skip]) is not { OpType: "DequantizeLinear" }
                && graph.View.Consumers(node.Input[skip]).Any(c => c.Node.Is("QuantizeLinear")) && graph.View.OnlyConsumer(node.Input[1 - skip]) == node
            select new Breach(node, node.Input[skip], $"It reads '{node.Input[skip]}' as it is, which is quantised for other readers.", "Let it read the DequantizeLinear.")),
    ];

    /// <summary>What reads a quantised tensor in the end, past dequantising and moving.</summary>
    private static IEnumerable<NodeProto> Ends(CheckedGraph graph, string tensor) =>
        graph.View.Consumers(tensor).Select(c => c.Node).SelectMany(n => n.Is("DequantizeLinear") || Moves.Contains(n.OpType) ? n.Output.SelectMany(o => Ends(graph, o)) : [n]);

    private static bool IsQuantisedConvolution(CheckedGraph graph, string tensor) =>
        graph.View.Producer(tensor) is { } node && (node.Is("Conv") || node.Is("ConvTranspose")) && graph.Dequantiser(node.Input[0]) is { } activation && !graph.IsStored(activation) && graph.Codes(activation) == DataType.Int8 && graph.Dequantiser(node.Input[1]) is not null;

    /// <summary>The scale's value, or null where it is not one stored number.</summary>
    private static float? Scale(CheckedGraph graph, NodeProto node) => graph.Values(node.Input[1]) is [var scale] ? scale : null;
}
