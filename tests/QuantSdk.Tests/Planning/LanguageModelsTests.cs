using System.Numerics.Tensors;
using QuantSdk.Engines;
using QuantSdk.Onnx;
using QuantSdk.Planning;
using QuantSdk.Recipes;
using QuantSdk.Rewriting;
using QuantSdk.Runtime;
using QuantSdk.Tests.Onnx;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Tests.Planning;

[TestClass]
public sealed class LanguageModelsTests
{
    private const int Tokens = 600;
    private const int Width = 64;

    [TestMethod]
    public void Routers_heads_and_embeddings_stay()
    {
        var placement = Decide(Simplification.Simplify(OnnxFile.Load(Repository.Data("archs/dbrx_tiny.onnx"))));
        Assert.AreEqual("chooses experts (router)", Reason(placement, "blocks.0.router"));
        Assert.AreEqual("chooses experts (router)", Reason(placement, "blocks.1.router"));
        Assert.AreEqual("writes the output", Reason(placement, "lm_head"));
        Assert.IsTrue(placement.Kept.Any(k => k.Op == "Gather"));
        // Everything else is in: two blocks of attention (2) and four experts of three.
        Assert.HasCount(28, placement.Layers);
        foreach (var (name, layers) in ((string, int)[])[("clip_text", 18), ("t5_encoder", 21), ("phi3", 12), ("llama", 21), ("recurrentgemma", 21)])
        {
            placement = Decide(Simplification.Simplify(OnnxFile.Load(Repository.Data($"archs/{name}_tiny.onnx"))));
            Assert.HasCount(layers, placement.Layers, name);
            Assert.IsFalse(placement.Kept.Any(k => k.Reason.Contains("router", StringComparison.Ordinal)), name);
        }
    }

    [TestMethod]
    public void A_router_is_known_by_what_it_chooses_not_by_its_name()
    {
        foreach (var (path, router) in ((string[], bool)[])[(["Softmax", "TopK"], true), (["Sigmoid", "Add", "TopK"], true), (["Softmax", "ArgMax"], true), (["Softmax", "MatMul"], false), (["Relu", "TopK"], false)])
        {
            var tensor = "scores";
            var nodes = new List<NodeProto> { Nodes.Create("MatMul", "in", ["x", "first"], ["h"]), Nodes.Create("MatMul", "scorer", ["h", "w"], ["scores"]) };
            foreach (var op in path)
            {
                nodes.Add(Nodes.Create(op, op, op switch { "Add" => [tensor, "bias"], "TopK" => [tensor, "k"], "MatMul" => [tensor, "v"], _ => [tensor] }, op == "TopK" ? ["top", "which"] : [op + "_out"]));
                tensor = nodes[^1].Output[0];
            }
            nodes.Add(Nodes.Create("Cast", "out", [tensor], ["float"]).With("to", (long)DataType.Float));
            nodes.Add(Nodes.Create("Add", "both", ["float", "h"], ["y"]));
            var model = TestModels.Create(
                [TestModels.Input("x", DataType.Float, -1, Width)], ["y"],
                [Weight("first", Width, Width), Weight("w", Width, 8), Weight("v", 8, Width), Tensors.Vector("bias", new float[8]), Tensors.Vector("k", 1L)], [.. nodes]);
            var placement = Decide(new OnnxModel(model, "m", []));
            Assert.AreEqual(router, placement.Kept.Any(k => k is { Node: "scorer", Reason: "chooses experts (router)", BuiltIn: true }), string.Join(' ', path));
        }
    }

    [TestMethod]
    public void The_head_is_found_behind_a_second_output_and_a_soft_cap()
    {
        var model = LanguageModel(Nodes.Create("MatMul", "head", ["h2", "lm"], ["raw"]), Nodes.Create("Tanh", "cap", ["raw"], ["capped"]), Nodes.Create("Mul", "scale", ["capped", "thirty"], ["logits"]));
        model.Graph.Initializer.Add([Weight("lm", Width, Tokens), Tensors.Scalar("thirty", 30f)]);
        // The hidden state comes first, and keeps what writes it.
        model.Graph.Output.Insert(0, new ValueInfoProto { Name = "h1" });
        var placement = Decide(new OnnxModel(model, "m", []));
        Assert.IsTrue(placement.Kept.Any(k => k is { Node: "head", Reason: "writes the logits (lm_head)", BuiltIn: true }));
        CollectionAssert.AreEquivalent(new[] { "b" }, placement.Layers.Select(l => l.Node.Name).ToArray());
    }

    [TestMethod]
    [DataRow("transpose")]
    [DataRow("gemm")]
    public void Tied_weights_stay_tied(string form)
    {
        NodeProto[] head = form == "gemm"
            ? [Nodes.Create("Reshape", "rows", ["h2", "row"], ["h2_rows"]), Nodes.Create("Gemm", "head", ["h2_rows", "embed"], ["logits"]).With("transB", 1L)]
            : [Nodes.Create("Transpose", "tie", ["embed"], ["embed_t"]).With("perm", 1, 0), Nodes.Create("MatMul", "head", ["h2", "embed_t"], ["logits"])];
        var model = LanguageModel(head);
        // Something else comes out first, so that the tie alone is the reason.
        model.Graph.Output.Insert(0, new ValueInfoProto { Name = "h1" });
        model.Graph.Initializer.Add(Tensors.Vector("row", -1L, Width));
        foreach (var output in model.Graph.Output)
            output.Type = TestModels.Input("", DataType.Float).Type.Clone();
        foreach (var output in model.Graph.Output)
            output.Type.TensorType.Shape = null;
        using var folder = new TempFolder();
        var path = TestModels.Reload(model, folder).Path;
        var placement = Decide(Simplification.Simplify(OnnxFile.Load(path)));
        Assert.AreEqual("its weight is tied to the embedding 'embed'", placement.Kept.Single(k => k.Node == "head").Reason);

        const int EmbeddingBytes = Tokens * Width * sizeof(float);
        // In memory, without quantising, and streamed: the table once.
        foreach (var metadata in (Dictionary<string, string>[])[new() { ["Precision"] = "none" }, new() { ["Weights"] = "int8", ["Activations"] = "float" }, new() { ["Precision"] = "int4" }])
        {
            ModelBuilder.Build(new BuildRequest("m", path, folder.Path, folder["engine"], null, 2, metadata, null), new SilentLog(), default);
            var bytes = new FileInfo(Path.Combine(folder["engine"], "cpu", "model.data")).Length;
            Assert.IsLessThan(1.5 * EmbeddingBytes, bytes, string.Join(' ', metadata));
            // What ONNX Runtime writes for this CPU holds packed copies on purpose, but not beside weights of few bits.
            if (!metadata.ContainsValue("none"))
                Assert.IsLessThan(1.5 * EmbeddingBytes, new FileInfo(Path.Combine(folder["engine"], "cpu", "model.optimised.data")).Length, string.Join(' ', metadata));
            using var engine = QuantizedModel.Load(folder["engine"]);
            var ids = new Dictionary<string, ModelTensor> { ["ids"] = ModelTensor.Create([1L, 2L, 3L], 1, 3) };
            using var reference = ModelSession.Open(path, new SessionSettings());
            Assert.IsGreaterThan(0.98f, TensorPrimitives.CosineSimilarity(reference.Run(ids)["logits"].AsSpan<float>(), engine.Session.Run(ids)["logits"].AsSpan<float>()));
        }
    }

    [TestMethod]
    public void Exclude_patterns_work_on_streamed_models()
    {
        using var folder = new TempFolder();
        var metadata = new Dictionary<string, string> { ["Precision"] = "int4", ["ExcludeModules"] = "layers.1;*.down_proj" };
        var plan = ModelBuilder.Build(new BuildRequest("m", Repository.Data("archs/llama_tiny.onnx"), folder.Path, folder["engine"], null, 2, metadata, null), new SilentLog(), default).Plan!;
        Assert.HasCount(12, plan.Layers);
        Assert.AreEqual(9, plan.Kept.Count(k => k.Reason == "matched by ExcludeModules"));
    }

    /// <summary>Tokens to an embedding and through two layers to h2.</summary>
    private static ModelProto LanguageModel(params NodeProto[] rest)
    {
        var model = TestModels.Create(
            [TestModels.Input("ids", DataType.Int64, -1, 3)], ["logits"], [Weight("embed", Tokens, Width), Weight("w1", Width, Width), Weight("w2", Width, Width)],
            [Nodes.Create("Gather", "lookup", ["embed", "ids"], ["e"]), Nodes.Create("MatMul", "a", ["e", "w1"], ["h1"]), Nodes.Create("MatMul", "b", ["h1", "w2"], ["h2"]), .. rest]);
        return model;
    }

    private static TensorProto Weight(string name, int rows, int columns) => Tensors.Create(name, TestModels.Random(rows * columns, name.Length), rows, columns);

    private static Placement Decide(OnnxModel model) => Placement.Decide(model, new Recipe { Name = "m" }, null);

    private static string Reason(Placement placement, string module) => placement.Kept.First(k => k.Module == module).Reason;
}
