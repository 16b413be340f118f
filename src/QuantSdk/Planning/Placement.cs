using System.Globalization;
using QuantSdk.Calibration;
using QuantSdk.Onnx;
using QuantSdk.Recipes;
using QuantSdk.Runtime;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Planning;

/// <summary>Which nodes run in 8 bits, and why every other node with weights does not. Decided by structure; names are not trusted.</summary>
/// <param name="Samples">The inputs that are the sample.</param>
internal sealed record Placement(IReadOnlyList<string> Samples, IReadOnlyList<Layer> Layers, IReadOnlyList<Kept> Kept)
{
    /// <summary>Products of activations that run in few bits: none below Level 4.</summary>
    public IReadOnlyList<AttentionProduct> Attention { get; init; } = [];

    /// <summary>The tensors whose ranges the lowerings need, in graph order: inputs of layers, and outputs of convolutions; then q, k and v of attention.</summary>
    public IReadOnlyList<string> Tensors =>
        [.. Layers.SelectMany(l => l.IsConvolution ? (string[])[l.Activation, l.Output] : [l.Activation]).Concat(Attention.SelectMany(a => (string[])[a.Q, a.K, a.V])).Distinct(StringComparer.Ordinal)];

    /// <summary>Where the channels of those tensors are, as the layers read and write them.</summary>
    public IReadOnlyDictionary<string, ChannelLayout> Channels(OnnxModel model)
    {
        var weights = model.Graph.Initializer.ToDictionary(t => t.Name, StringComparer.Ordinal);
        var layouts = new Dictionary<string, ChannelLayout>(StringComparer.Ordinal);
        foreach (var layer in Layers)
        {
            var shape = WeightShape.Of(layer.Op, layer.WeightAxis, weights[layer.Weight].Dims, layer.Groups);
            layouts.TryAdd(layer.Activation, new ChannelLayout(shape.InputsPerGroup * shape.Groups, !layer.IsConvolution));
            if (layer.IsConvolution)
                layouts.TryAdd(layer.Output, new ChannelLayout(shape.Outputs, false));
        }
        return layouts;
    }

    public static Placement Decide(OnnxModel model, Recipe recipe, DiffusionRoles? roles)
    {
        var view = new GraphView(model.Graph);
        var modules = new ModulePaths(model.Graph);
        var exclude = Patterns.Create("ExcludeModules", recipe.ExcludeModules, model.Graph, modules);
        var only = Patterns.Create("Only", recipe.Only, model.Graph, modules);
        var structure = Structure.Of(view, roles);
        var kinds = LayerKinds.Of(view, modules);
        // By node; null: quantised.
        var attention = new Dictionary<NodeProto, (string Reason, bool BuiltIn)?>(ReferenceEqualityComparer.Instance);
        var quantised = new List<AttentionProduct>();
        foreach (var (product, exclusion) in recipe.Level < 4 ? [] : AttentionPlacement.Decide(model, kinds.Attention, structure, recipe, only, exclude, modules))
        {
            attention[product.Scores] = attention[product.Output] = exclusion;
            if (exclusion is null)
                quantised.Add(product);
        }
        var layers = new List<Layer>();
        var kept = new List<Kept>();
        foreach (var node in model.Graph.Node)
        {
            if (!IsProduct(node))
            {
                if (OtherWeights.Of(view, node, modules[node]) is { } other)
                    kept.Add(other);
                continue;
            }
            var module = modules[node];
            if (attention.TryGetValue(node, out var decided))
            {
                if (decided is { } no)
                    kept.Add(new Kept(node.Label(), node.OpType, module, no.Reason, no.BuiltIn));
                continue;
            }
            var (layer, reason) = Candidate(view, node, module);
            var builtIn = false;
            if (layer is not null && structure.Exclusion(layer) is { } exclusion)
                (reason, builtIn) = (exclusion, true);
            else if (layer is null && structure.Language.Tied(node.Input[1]) is { } tied)
                (reason, builtIn) = (tied, true);
            else if (layer is not null && recipe.Only.Count > 0 && !only.Matches(node, module))
                reason = "not matched by Only";
            else if (layer is not null && exclude.Matches(node, module))
                reason = "matched by ExcludeModules";
            else if (layer is not null && kinds[node] is var kind && LayerKinds.Level(kind) > recipe.Level)
                reason = string.Create(CultureInfo.InvariantCulture, $"above Level {recipe.Level} ({LayerKinds.Describe(kind)}: Level {LayerKinds.Level(kind)})");
            if (reason is null)
                layers.Add(layer!);
            else
                kept.Add(new Kept(node.Label(), node.OpType, module, reason, builtIn));
        }
        return new Placement(structure.Samples, layers, kept) { Attention = quantised };
    }

    internal static bool IsProduct(NodeProto node) => node.Is("Conv") || node.Is("ConvTranspose") || node.Is("Gemm") || node.Is("MatMul");

    internal static (Layer? Layer, string? Reason) Candidate(GraphView view, NodeProto node, string module)
    {
        if (view.Initializer(node.Input[0]) is not null)
            return (null, "its first operand is constant");
        if (view.Initializer(node.Input[1]) is not { } weight)
            return (null, IsConstant(view, node.Input[1]) ? "its weight is computed from constants, as quantised ones are" : "a product of two activations has no constant weight");
        if (weight.DataType != (int)DataType.Float)
            return (null, $"its weight is {ElementType.Name(weight.DataType)}; float is quantised in this version");
        var bias = node.Input.Count > 2 && node.Input[2].Length > 0 ? node.Input[2] : null;
        if (bias is not null && view.Initializer(bias) is null)
            return (null, "its bias is not constant");
        switch (node.OpType)
        {
            case "MatMul" when weight.Dims.Count != 2:
                return (null, $"its weight has {weight.Dims.Count} dimensions, not 2");
            case "Gemm" when node.Int("transA", 0) != 0 || node.Float("alpha", 1) != 1 || (bias is not null && node.Float("beta", 1) != 1):
                return (null, "it scales or transposes its activation");
            case "Gemm" when bias is not null && view.Initializer(bias)!.Count() != OutputChannels(node, weight):
                return (null, "its bias is not one number an output channel");
        }
        var axis = node.OpType switch
        {
            "Conv" => 0,
            "ConvTranspose" => 1,
            "Gemm" => node.Int("transB", 0) != 0 ? 0 : 1,
            _ => 1,
        };
        var output = Output(view, node);
        return (new Layer(node, module, node.Input[0], weight.Name, axis, bias, output) { Rectifier = output == node.Output[0] ? null : view.Producer(output)!.OpType }, null);
    }

    /// <summary>True where a few nodes at most lie between a tensor and the constants that it is made of.</summary>
    private static bool IsConstant(GraphView view, string tensor, int depth = 8) =>
        view.Initializer(tensor) is not null || (depth > 0 && view.Producer(tensor) is { Input.Count: > 0 } node && node.Input.All(i => i.Length == 0 || IsConstant(view, i, depth - 1)));

    /// <summary>What follows a convolution without cost when its output is quantised: a Relu or a Clip that alone reads it.</summary>
    private static string Output(GraphView view, NodeProto node)
    {
        var output = node.Output[0];
        if (node.Is("Conv") && view.OnlyConsumer(output) is { } next && (next.Is("Relu") || (next.Is("Clip") && IsZero(view, next))))
            return next.Output[0];
        return output;
    }

    private static bool IsZero(GraphView view, NodeProto clip) => clip.Input.Count > 1 && view.Initializer(clip.Input[1]) is { } min && min.ToFloats() is [0];

    private static long OutputChannels(NodeProto gemm, TensorProto weight) => weight.Dims[gemm.Int("transB", 0) != 0 ? 0 : 1];
}
