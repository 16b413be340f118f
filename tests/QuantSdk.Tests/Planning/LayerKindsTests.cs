using System.Text.RegularExpressions;
using QuantSdk.Onnx;
using QuantSdk.Planning;
using QuantSdk.Recipes;
using QuantSdk.Rewriting;
using QuantSdk.Tests.Onnx;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Tests.Planning;

/// <summary>What the graph tells of each layer, against what its author called it.</summary>
[TestClass]
public sealed partial class LayerKindsTests
{
    public static IEnumerable<object[]> Networks =>
    [
        [Repository.Digits("unet.onnx")], [Repository.Mmdit("transformer.onnx")],
        [Repository.Data("archs/pixart_sigma_tiny.onnx")], [Repository.Data("archs/flux_tiny.onnx")], [Repository.Data("archs/auraflow_tiny.onnx")], [Repository.Data("archs/clip_text_tiny.onnx")],
        [Repository.Data("archs/llama_tiny.onnx")], [Repository.Data("archs/phi3_tiny.onnx")], [Repository.Data("archs/t5_encoder_tiny.onnx")], [Repository.Data("archs/vae_decoder_tiny.onnx")],
    ];

    [TestMethod]
    [DynamicData(nameof(Networks))]
    public void Kinds_are_what_the_modules_are_called(string path)
    {
        var (model, placement, kinds) = Load(path, new Recipe { Name = "x" });
        var wrong = placement.Layers.Where(l => kinds[l.Node] != Called(l)).Select(l => $"{l.Module}: {kinds[l.Node]}").ToArray();
        Assert.IsEmpty(wrong, string.Join("; ", wrong));
        // Each attention has one projection of queries, and one Softmax.
        var modules = new ModulePaths(model.Graph);
        Assert.HasCount(model.Graph.Node.Count(n => Placement.IsProduct(n) && Queries().IsMatch(modules[n])), kinds.Attention.ToArray());
        Assert.HasCount(model.Graph.Node.Count(n => n.OpType == "Softmax"), kinds.Attention.ToArray());
    }

    [TestMethod]
    [DataRow(1)]
    [DataRow(2)]
    [DataRow(2.5)]
    [DataRow(3)]
    public void A_level_takes_the_kinds_up_to_it_of_both_streams_and_says_why_not_the_others(double level)
    {
        var path = Repository.Mmdit("transformer.onnx");
        var all = Load(path, new Recipe { Name = "x" }).Placement;
        var some = Load(path, new Recipe { Name = "x", Level = level }).Placement;
        var expected = all.Layers.Where(l => Called(l) switch { LayerKind.Convolution => 1, LayerKind.FeedForward => 2, LayerKind.AttentionInput => 2.5, _ => 3 } <= level).Select(l => l.Module).ToArray();
        CollectionAssert.AreEqual(expected, some.Layers.Select(l => l.Module).ToArray());
        Assert.AreEqual(all.Layers.Count - expected.Length, some.Kept.Count(k => k.Reason.StartsWith($"above Level {level.ToString(System.Globalization.CultureInfo.InvariantCulture)} (", StringComparison.Ordinal)));
        if (level is 2 or 2.5)
            CollectionAssert.Contains(expected, "transformer_blocks.1.ff_context.net.2");
        if (level == 2.5)
            CollectionAssert.Contains(expected, "transformer_blocks.1.attn.add_v_proj");
    }

    [TestMethod]
    public void A_residual_sum_ends_what_belongs_to_a_layer()
    {
        // y = down(relu(up(x))) + x; z = out(tanh-free norm of y): out reads a sum, so neither down nor out is more than it is.
        using var folder = new TempFolder();
        var model = TestModels.Reload(
            TestModels.Create([TestModels.Input("x", DataType.Float, -1, 4)], ["z"],
                [.. ((string[])["in", "up", "down", "out", "end"]).Select((n, i) => Tensors.Create("w_" + n, TestModels.Random(16, i), 4, 4)), Tensors.Vector("bias", TestModels.Random(4, 9))],
                Linear("in", "x", "a"), Linear("up", "a", "u"), Nodes.Create("Add", "", ["u", "bias"], ["ub"]), Nodes.Create("Relu", "", ["ub"], ["r"]), Linear("down", "r", "d"), Nodes.Create("Add", "", ["d", "a"], ["y"]),
                Nodes.Create("Relu", "", ["y"], ["n"]), Linear("out", "n", "o"), Linear("end", "o", "z")),
            folder);
        var kinds = LayerKinds.Of(new GraphView(model.Graph), new ModulePaths(model.Graph));
        CollectionAssert.AreEqual(
            (LayerKind[])[LayerKind.Linear, LayerKind.FeedForward, LayerKind.FeedForward, LayerKind.Linear, LayerKind.Linear],
            model.Graph.Node.Where(n => n.OpType == "MatMul").Select(n => kinds[n]).ToArray());

        static NodeProto Linear(string name, string input, string output) => Nodes.Create("MatMul", name, [input, "w_" + name], [output]);
    }

    private static (OnnxModel Model, Placement Placement, LayerKinds Kinds) Load(string path, Recipe recipe)
    {
        var model = Simplification.Simplify(OnnxFile.Load(path));
        return (model, Placement.Decide(model, recipe, Roles.Find(model, recipe)), LayerKinds.Of(new GraphView(model.Graph), new ModulePaths(model.Graph)));
    }

    private static LayerKind Called(Layer layer) =>
        layer.IsConvolution ? LayerKind.Convolution
        : AttentionInput().IsMatch(layer.Module) ? LayerKind.AttentionInput
        : FeedForward().IsMatch(layer.Module) ? LayerKind.FeedForward
        : LayerKind.Linear;

    [GeneratedRegex(@"\.(to_[qkv]|add_[qkv]_proj|[qkv]_proj|qkv_proj|Wqkv|SelfAttention\.[qkv])$")]
    private static partial Regex AttentionInput();

    [GeneratedRegex(@"\.(to_q|q_proj|qkv_proj|SelfAttention\.q)$")]
    private static partial Regex Queries();

    [GeneratedRegex(@"\.(ff|ff_context)\.|\.mlp\.|\.proj_mlp$|^single_transformer_blocks\.\d+\.proj_out$|\.DenseReluDense\.")]
    private static partial Regex FeedForward();
}
