using QuantSdk.Onnx;
using QuantSdk.Runtime;

namespace QuantSdk.Engines.TensorRt.Rules;

/// <summary>
/// Everything that TensorRT wants of a graph with explicit quantisation and strong types (its headers NvInfer.h, the importers of onnx-tensorrt, its
/// documentation "Working with quantized types"). Not run against TensorRT: it could not be had where this was written.
/// </summary>
internal static class GraphRules
{
    public static IReadOnlyList<GraphRule> All { get; } = [.. ZeroPointRules.All, .. ScaleRules.All, .. FormatRules.All, .. BlockRules.All, .. OperatorRules.All, .. TypingRules.All, .. PlacementRules.All];

    /// <summary>What a model breaks, by node in the graph's order within each rule; errors first.</summary>
    public static IReadOnlyList<RuleFinding> Check(ModelProto model)
    {
        var graphs = new List<CheckedGraph>();
        Collect(model, model.Graph, ElementTypes.Of(model), null, graphs);
        return [.. All.SelectMany(rule => graphs.SelectMany(rule.Find).Select(b => new RuleFinding(rule.Name, rule.IsError ? "error" : "warning", b.Node?.Label(), b.Node?.OpType, b.Tensor, b.Problem, b.Remedy)))
            .DistinctBy(f => (f.Rule, f.Node, f.Tensor, f.Problem)).OrderBy(f => f.Severity == "error" ? 0 : 1)];
    }

    /// <summary>Nothing, for a graph that TensorRT can be given.</summary>
    /// <param name="path">The model, for the message.</param>
    /// <exception cref="QuantSdkException">QSDK3100 with the first errors.</exception>
    public static void Require(ModelProto model, string path)
    {
        var errors = Check(model).Where(f => f.Severity == "error").ToArray();
        if (errors.Length > 0)
            throw new QuantSdkException("QSDK3100", $"'{path}' breaks {errors.Length} rule(s) that TensorRT has for graphs: {string.Join(" ", errors.Take(3))}{(errors.Length > 3 ? " …" : "")} `quantsdk check` lists all.", path, errors[0].Node);
    }

    private static void Collect(ModelProto model, GraphProto graph, IReadOnlyDictionary<string, int> types, CheckedGraph? outer, List<CheckedGraph> graphs)
    {
        var own = new CheckedGraph(model, graph, types, outer);
        graphs.Add(own);
        foreach (var body in graph.Node.SelectMany(n => n.Bodies()))
            Collect(model, body, types, own, graphs);
    }
}
