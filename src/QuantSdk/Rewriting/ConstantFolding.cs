using QuantSdk.Engines;
using QuantSdk.Onnx;

namespace QuantSdk.Rewriting;

/// <summary>Evaluates what depends on constants alone, with ONNX Runtime as the evaluator, and keeps the results as initializers.</summary>
internal static class ConstantFolding
{
    /// <summary>A folded tensor may not be larger than this many times what it was computed from (a broadcast would only grow the file).</summary>
    private const int MaxGrowthBytes = 64 * 1024;

    /// <summary>Turns Constant nodes into initializers, so that weights are found in one place.</summary>
    public static void LiftConstants(GraphProto graph)
    {
        var lifted = new List<NodeProto>();
        foreach (var node in graph.Node)
        {
            if (!node.Is("Constant") || Value(node) is not { } value)
                continue;
            value.Name = node.Output[0];
            graph.Initializer.Add(value);
            lifted.Add(node);
        }
        Drop(graph, lifted);
    }

    public static void Fold(ModelProto model)
    {
        var graph = model.Graph;
        var constants = graph.Initializer.Select(t => t.Name).ToHashSet(StringComparer.Ordinal);
        var folded = new List<NodeProto>();
        var view = new GraphView(graph);
        foreach (var node in graph.Node)
        {
            if (node.Input.Count == 0 || node.HasSubgraph() || IsRandom(node) || node.Input.Any(i => i.Length > 0 && !constants.Contains(i)))
                continue;
            // Dequantized weights stay quantized: folding them would undo the compression.
            if (node.OpType is "DequantizeLinear" or "QuantizeLinear")
                continue;
            // What is used as it is too, as an embedding tied to the output, would be stored twice.
            if (node.Is("Transpose") && view.Initializer(node.Input[0]) is { } source && source.RawData.Length > MaxGrowthBytes && view.Consumers(source.Name).Count > 1)
                continue;
            folded.Add(node);
            constants.UnionWith(node.Output);
        }
        if (folded.Count == 0)
            return;
        var inside = folded.ToHashSet<NodeProto>(ReferenceEqualityComparer.Instance);
        var frontier = folded.SelectMany(n => n.Output)
            .Where(o => o.Length > 0 && (view.IsOutput(o) || view.Consumers(o).Any(c => !inside.Contains(c.Node))))
            .Where(o => !view.IsOutput(o)).ToArray();
        if (frontier.Length == 0)
            return;
        var part = new ModelProto { IrVersion = model.IrVersion, Graph = new GraphProto { Name = "constants" } };
        part.OpsetImport.Add(model.OpsetImport);
        part.Graph.Node.Add(folded);
        part.Graph.Initializer.Add(graph.Initializer);
        part.Graph.Output.Add(frontier.Select(o => new ValueInfoProto { Name = o }));
        DeadCode.Remove(part.Graph);
        var inputBytes = part.Graph.Initializer.Sum(t => (long)t.RawData.Length);
        var results = OrtEvaluator.TryRun(part, frontier);
        if (results is null)
            return;
        foreach (var result in results)
        {
            // Neither what would only grow the file, nor sequences, which cannot be initializers.
            if (result.DataType == 0 || (result.RawData.Length > MaxGrowthBytes && result.RawData.Length > inputBytes))
                continue;
            graph.Initializer.Add(result);
            var producer = view.Producer(result.Name)!;
            producer.Output[producer.Output.IndexOf(result.Name)] = "";
        }
        Drop(graph, folded.Where(n => n.Output.All(o => o.Length == 0)));
    }

    private static TensorProto? Value(NodeProto node)
    {
        var name = node.Output[0];
        foreach (var attribute in node.Attribute)
        {
            switch (attribute.Name)
            {
                case "value":
                    return attribute.T.Clone();
                case "value_float":
                    return Tensors.Scalar(name, attribute.F);
                case "value_floats":
                    return Tensors.Vector(name, [.. attribute.Floats]);
                case "value_int":
                    return Tensors.Scalar(name, attribute.I);
                case "value_ints":
                    return Tensors.Vector(name, [.. attribute.Ints]);
            }
        }
        return null;
    }

    private static bool IsRandom(NodeProto node) =>
        node.OpType is "RandomNormal" or "RandomUniform" or "RandomNormalLike" or "RandomUniformLike" or "Multinomial" or "Bernoulli" or "Dropout";

    private static void Drop(GraphProto graph, IEnumerable<NodeProto> nodes)
    {
        var gone = nodes.ToHashSet<NodeProto>(ReferenceEqualityComparer.Instance);
        DeadCode.Retain(graph.Node, n => !gone.Contains(n));
    }
}
