using QuantSdk.Onnx;

namespace QuantSdk.Planning;

/// <summary>
/// What each layer does, found from the graph alone. Q/K/V projections: whatever linear layer the operands of attention come from.
/// Feed-forward: linear layers with only elementwise nodes between them, one of which is no linear function. Both follow values through
/// data movement, biases, scaling, norms and rotary embeddings, and no further than to another product or over a residual sum.
/// </summary>
internal sealed class LayerKinds
{
    /// <summary>Linear layers, by the tensor that they write.</summary>
    private readonly HashSet<string> _attentionInputs = new(StringComparer.Ordinal);
    private readonly HashSet<string> _feedForward = new(StringComparer.Ordinal);
    private readonly GraphView _view;
    private readonly Dictionary<string, Origin> _origins = new(StringComparer.Ordinal);

    private LayerKinds(GraphView view) => _view = view;

    /// <summary>The attention products of the graph, in its order.</summary>
    public IReadOnlyList<AttentionProduct> Attention { get; private init; } = [];

    public static LayerKinds Of(GraphView view, ModulePaths modules)
    {
        var kinds = new LayerKinds(view) { Attention = [.. view.Graph.Node.Where(n => n.Is("Softmax")).Select(n => Product(view, modules, n)).OfType<AttentionProduct>()] };
        kinds.Trace();
        return kinds;
    }

    public LayerKind this[NodeProto node] =>
        node.Is("Conv") || node.Is("ConvTranspose") ? LayerKind.Convolution
        : _attentionInputs.Contains(node.Output[0]) ? LayerKind.AttentionInput
        : _feedForward.Contains(node.Output[0]) ? LayerKind.FeedForward
        : LayerKind.Linear;

    /// <summary>The lowest level that quantises a kind.</summary>
    public static double Level(LayerKind kind) => kind switch
    {
        LayerKind.Convolution => 1,
        LayerKind.FeedForward => 2,
        LayerKind.AttentionInput => 2.5,
        _ => 3,
    };

    public static string Describe(LayerKind kind) => kind switch
    {
        LayerKind.Convolution => "convolutions",
        LayerKind.FeedForward => "feed-forward",
        LayerKind.AttentionInput => "Q/K/V",
        _ => "other linear layers",
    };

    /// <summary>One pass in topological order: the linear layers that each tensor comes from.</summary>
    private void Trace()
    {
        foreach (var node in _view.Graph.Node)
        {
            if (Placement.IsProduct(node))
            {
                if (Placement.Candidate(_view, node, "").Layer is not { IsConvolution: false })
                    continue;
                var input = Of(node.Input[0]);
                if (input.Nonlinear && input.Layers.Count > 0)
                {
                    _feedForward.UnionWith(input.Layers);
                    _feedForward.Add(node.Output[0]);
                }
                _origins[node.Output[0]] = new Origin([node.Output[0]], false);
                continue;
            }
            // Attention of opset 23 and MultiHeadAttention of com.microsoft take q, k, v in this order.
            if (node.OpType is "Attention" or "MultiHeadAttention" && node.Input.Count > 2)
            {
                foreach (var operand in node.Input.Take(3))
                    _attentionInputs.UnionWith(Of(operand).Layers);
                continue;
            }
            if (After(node) is not { Layers.Count: > 0 } origin)
                continue;
            foreach (var output in node.Output.Where(o => o.Length > 0))
                _origins[output] = origin;
        }
        foreach (var product in Attention)
        {
            foreach (var operand in (string[])[product.Q, product.K, product.V])
                _attentionInputs.UnionWith(Of(operand).Layers);
        }
    }

    private Origin Of(string tensor) => _origins.GetValueOrDefault(tensor, Origin.None);

    private Origin After(NodeProto node)
    {
        if (node.Domain is not ("" or "ai.onnx" or "com.microsoft") || node.Input.Count == 0)
            return Origin.None;
        switch (node.OpType)
        {
            case "Relu" or "LeakyRelu" or "PRelu" or "Elu" or "Selu" or "Celu" or "ThresholdedRelu" or "Gelu" or "FastGelu" or "QuickGelu" or "BiasGelu"
                or "Erf" or "Tanh" or "Sigmoid" or "HardSigmoid" or "HardSwish" or "Swish" or "Mish" or "Softplus" or "Softsign":
                return Of(node.Input[0]) with { Nonlinear = true };
            case "Reshape" or "Transpose" or "Split" or "Slice" or "Gather" or "Squeeze" or "Unsqueeze" or "Flatten" or "Expand" or "Tile" or "Cast" or "Identity" or "Dropout" or "Clip" or "Neg" or "Abs"
                or "Pow" or "Sqrt" or "Reciprocal" or "ReduceMean" or "ReduceSum" or "ReduceSumSquare" or "ReduceL2" or "ReduceMax" or "LayerNormalization" or "RMSNormalization" or "SimplifiedLayerNormalization" or "LpNormalization" or "InstanceNormalization" or "GroupNormalization":
                return Of(node.Input[0]);
            // Gates and factors: of both operands. Joined streams as well.
            case "Mul" or "Div" or "Concat":
                return node.Input.Select(Of).Aggregate(Origin.Union);
            // A bias, a part of a norm, of a rotary embedding or of an activation function; else a residual sum, behind which nothing is this layer's own.
            case "Add" or "Sub" or "Max" or "Min" when node.Input.Count == 2:
                return Sum(node.Input[0], node.Input[1]);
            case "Where":
                return Sum(node.Input[1], node.Input[2]);
            default:
                return Origin.None;
        }
    }

    private Origin Sum(string left, string right)
    {
        if (_view.Initializer(left) is not null)
            return Of(right);
        if (_view.Initializer(right) is not null)
            return Of(left);
        var (a, b) = (Of(left), Of(right));
        return a.Layers.SetEquals(b.Layers) ? Origin.Union(a, b) : Origin.None;
    }

    private static AttentionProduct? Product(GraphView view, ModulePaths modules, NodeProto softmax)
    {
        if (Above(view, softmax.Input[0]) is not { } scores || Below(view, softmax.Output[0]) is not var (output, operand) || output == scores)
            return null;
        return new AttentionProduct(scores, softmax, output, operand, modules[scores]);
    }

    /// <summary>The product of two activations that a tensor is made of by scaling, masking and bending, nothing else.</summary>
    private static NodeProto? Above(GraphView view, string tensor, int depth = 16)
    {
        if (depth == 0 || view.Producer(tensor) is not { } node)
            return null;
        if (node.Is("MatMul"))
            return IsOfActivations(view, node) ? node : null;
        var operands = node.OpType switch
        {
            "Mul" or "Div" or "Add" or "Sub" or "Max" or "Min" => node.Input,
            "Where" => node.Input.Skip(1),
            "Cast" or "Reshape" or "Clip" or "Tanh" or "Squeeze" or "Unsqueeze" or "Identity" or "Flatten" or "Transpose" => node.Input.Take(1),
            _ => [],
        };
        return operands.Select(o => Above(view, o, depth - 1)).FirstOrDefault(n => n is not null);
    }

    /// <summary>The product of two activations that reads a tensor, and which operand it is there.</summary>
    private static (NodeProto Node, int Operand)? Below(GraphView view, string tensor, int depth = 8)
    {
        foreach (var (node, input) in view.Consumers(tensor).Where(c => c.Input >= 0))
        {
            if (node.Is("MatMul") && IsOfActivations(view, node))
                return (node, input);
            var passes = node.OpType is "Cast" or "Reshape" or "Dropout" or "Mul" or "Where" or "Identity" or "Slice" or "Transpose" or "Squeeze" or "Unsqueeze" or "Flatten";
            if (passes && depth > 0 && Below(view, node.Output[0], depth - 1) is { } found)
                return found;
        }
        return null;
    }

    private static bool IsOfActivations(GraphView view, NodeProto node) => node.Input.All(i => view.Initializer(i) is null);

    /// <summary>The linear layers that a tensor is made of, by the tensors that they write, and whether a function that is not linear lies between.</summary>
    private sealed record Origin(HashSet<string> Layers, bool Nonlinear)
    {
        public static Origin None { get; } = new([], false);

        public static Origin Union(Origin a, Origin b) =>
            a.Layers.Count == 0 ? b : b.Layers.Count == 0 ? a : new Origin([.. a.Layers, .. b.Layers], a.Nonlinear || b.Nonlinear);
    }
}
