using QuantSdk.Onnx;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Planning;

/// <summary>
/// What a language model keeps as it is, from the graph alone: embeddings, whatever is tied to one, the head that makes logits, and the
/// routers of mixtures of experts, where a small error sends a token to another expert.
/// </summary>
internal sealed class LanguageModels
{
    /// <summary>A router has one output an expert.</summary>
    private const long MostExperts = 1024;

    /// <summary>What may lie between a router's scores and the choice: nothing that mixes in other layers.</summary>
    private static readonly HashSet<string> ScoreOps =
        ["Softmax", "LogSoftmax", "Sigmoid", "Softplus", "Sqrt", "Cast", "Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Add", "Mul", "Div", "Sub", "Tanh", "Clip", "Gather", "Slice"];

    /// <summary>What may lie between the head and the logits.</summary>
    private static readonly HashSet<string> LogitOps = ["Add", "Mul", "Div", "Tanh", "Cast", "Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Slice", "Gather", "Softmax", "LogSoftmax"];

    private readonly GraphView _view;
    private readonly Dictionary<string, long> _embeddings = new(StringComparer.Ordinal);

    public LanguageModels(GraphView view)
    {
        _view = view;
        var tokens = view.DependentOn(view.Inputs.Where(i => i.Type?.TensorType is { ElemType: (int)DataType.Int64 or (int)DataType.Int32 }).Select(i => i.Name));
        foreach (var node in view.Graph.Node)
        {
            if (node.Is("Gather") && node.Int("axis", 0) == 0 && tokens.Contains(node.Input[1]) && Embedding(node.Input[0]) is { } table)
                _embeddings[table.Name] = table.Dims[0];
        }
    }

    /// <summary>The reason why a product with an embedding behind a Transpose stays as it is, or null.</summary>
    public string? Tied(string weight) => Source(weight) is { } source && _embeddings.ContainsKey(source) ? $"its weight is tied to the embedding '{source}'" : null;

    /// <summary>The reason why a layer stays in float, or null.</summary>
    public string? Exclusion(Layer layer)
    {
        if (layer.IsConvolution)
            return null;
        if (Tied(layer.Weight) is { } tied)
            return tied;
        if (_embeddings.Count > 0 && _view.Initializer(layer.Weight) is { } weight && _embeddings.ContainsValue(weight.Dims[layer.WeightAxis]) && Reaches(layer.Node, LogitOps, Chooses, outputs: true))
            return "writes the logits (lm_head)";
        return IsRouter(layer) ? "chooses experts (router)" : null;
    }

    private bool IsRouter(Layer layer) =>
        _view.Initializer(layer.Weight) is { } weight && weight.Dims[layer.WeightAxis] is var experts && experts <= MostExperts && experts < weight.Count() / Math.Max(1, experts)
        && Reaches(layer.Node, ScoreOps, Chooses, outputs: false);

    private static bool Chooses(NodeProto node) => node.Is("TopK") || node.Is("ArgMax");

    /// <summary>Whether the node's result arrives at such a node, or at an output of the graph, through operators of a kind alone.</summary>
    private bool Reaches(NodeProto node, HashSet<string> through, Func<NodeProto, bool> goal, bool outputs)
    {
        var open = new Stack<NodeProto>([node]);
        var seen = new HashSet<NodeProto>(ReferenceEqualityComparer.Instance);
        while (open.TryPop(out var current))
        {
            foreach (var tensor in current.Output.Where(o => o.Length > 0))
            {
                if (outputs && _view.IsOutput(tensor))
                    return true;
                foreach (var (next, input) in _view.Consumers(tensor))
                {
                    if (goal(next))
                        return true;
                    if (through.Contains(next.OpType) && next.Domain is "" or "ai.onnx" && Alone(next, input) && seen.Add(next))
                        open.Push(next);
                }
            }
        }
        return false;
    }

    /// <summary>Whether a node's input is all it computes with: others are constants, or the shape and the indices of an operator that only moves.</summary>
    private bool Alone(NodeProto node, int input) =>
        node.OpType is "Reshape" or "Gather" or "Slice" or "Squeeze" or "Unsqueeze" ? input == 0 : node.Input.Where((_, i) => i != input).All(i => i.Length == 0 || _view.Initializer(i) is not null);

    /// <summary>The initializer behind Transpose, Cast or Identity.</summary>
    private string? Source(string tensor)
    {
        while (_view.Producer(tensor) is { } node && (node.Is("Transpose") || node.Is("Cast") || node.Is("Identity")))
            tensor = node.Input[0];
        return _view.Initializer(tensor) is null ? null : tensor;
    }

    private TensorProto? Embedding(string tensor) =>
        Source(tensor) is { } name && _view.Initializer(name) is { Dims.Count: 2 } table && ElementType.IsFloat(table.DataType) && table.Dims[0] > 1 ? table : null;
}
