using System.Diagnostics.CodeAnalysis;
using System.Numerics.Tensors;
using QuantSdk.Engines;
using QuantSdk.Engines.Streaming;
using QuantSdk.Onnx;
using QuantSdk.Recipes;
using QuantSdk.Runtime;
using QuantSdk.Tests.Onnx;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Tests.Engines.Streaming;

/// <summary>Whole weight-only builds: text encoders and language models, and small graphs of every form a weight comes in.</summary>
[TestClass]
public sealed class WeightOnlyBuildTests
{
    [TestMethod]
    [DataRow("clip_text", "int8", 0.998)]
    [DataRow("clip_text", "int4", 0.95)]
    [DataRow("t5_encoder", "int8", 0.99)]
    [DataRow("t5_encoder", "int4", 0.7)]
    [DataRow("phi3", "int8", 0.998)]
    [DataRow("phi3", "int4", 0.9)]
    [DataRow("llama", "int8", 0.998)]
    [DataRow("llama", "int4", 0.9)]
    [DataRow("recurrentgemma", "int8", 0.998)]
    [DataRow("recurrentgemma", "int4", 0.95)]
    [DataRow("dbrx", "int8", 0.99)]
    [DataRow("dbrx", "int4", 0.85)]
    public void Language_models_stay_close_to_float(string name, string weights, double cosine)
    {
        using var folder = new TempFolder();
        var path = Arch(name);
        var metadata = new Dictionary<string, string> { ["Weights"] = weights, ["Activations"] = "float", ["Targets"] = weights == "int4" ? "cpu;tensorrt-onnx" : "cpu" };
        var result = Build(path, folder, metadata);
        using var reference = ModelSession.Open(path, new SessionSettings { Threads = 2 });
        using var engine = QuantizedModel.Load(folder["engine"]);
        using var tensorrt = weights == "int4" ? ModelSession.Open(Path.Combine(folder["engine"], "tensorrt", "model.onnx"), new SessionSettings { Threads = 2 }) : null;
        var inputs = Tokens(reference);
        var expected = reference.Run(inputs);
        foreach (var session in ((ModelSession?[])[engine.Session, tensorrt]).OfType<ModelSession>())
        {
            var actual = session.Run(inputs);
            foreach (var (output, tensor) in expected)
                Assert.IsGreaterThan(cosine, TensorPrimitives.CosineSimilarity(tensor.AsSpan<float>(), actual[output].AsSpan<float>()), $"{output} of {session.File}");
        }
        Assert.IsNotEmpty(result.Report.Kept);
        var graph = OnnxFile.Load(Path.Combine(folder["engine"], "cpu", "model.optimised.onnx")).Graph;
        Assert.AreEqual(result.Plan!.Layers.Count(l => l.Op != "Conv"), graph.Node.Count(n => n.OpType == "MatMulNBits"), "every linear layer is fused");
    }

    [TestMethod]
    public void Every_form_of_a_weight_becomes_the_same_product()
    {
        // Seven layers one after another, none of them the first or the last; the same values in all but one.
        var w = TestModels.Random(64 * 64, 3);
        float[] turned = [.. from n in Enumerable.Range(0, 64) from k in Enumerable.Range(0, 64) select w[(k * 64) + n]];
        var half = Array.ConvertAll(w, v => (Half)v);
        var bias = TestModels.Random(64, 4);
        NodeProto Transpose(string from, string to) => Nodes.Create("Transpose", to, [from], [to]).With("perm", 1, 0);
        var model = TestModels.Create(
            [TestModels.Input("x", DataType.Float, -1, 64)], ["y"],
            [
                Tensors.Create("first", TestModels.Random(64 * 64, 8), 64, 64), Tensors.Create("w", w, 64, 64), Tensors.Create("turned", turned, 64, 64), Tensors.Create("half", half, 64, 64), Tensors.Vector("bias", bias),
                Tensors.Create("last", TestModels.Random(64 * 64, 9), 64, 64),
            ],
            Nodes.Create("MatMul", "first_layer", ["x", "first"], ["h0"]),
            Nodes.Create("MatMul", "plain", ["h0", "w"], ["h1"]),
            Nodes.Create("Gemm", "gemm", ["h1", "w", "bias"], ["h2"]),
            Nodes.Create("Gemm", "gemm_turned", ["h2", "turned", "bias"], ["h3"]).With("transB", 1L),
            Transpose("turned", "turned_back"),
            Nodes.Create("MatMul", "behind_transpose", ["h3", "turned_back"], ["h4"]),
            Transpose("w", "w_turned"),
            Nodes.Create("Gemm", "turned_twice", ["h4", "w_turned"], ["h5"]).With("transB", 1L),
            Nodes.Create("Cast", "widen", ["half"], ["half_wide"]).With("to", (long)DataType.Float),
            Nodes.Create("MatMul", "behind_cast", ["h5", "half_wide"], ["h6"]),
            Nodes.Create("MatMul", "last_layer", ["h6", "last"], ["y"]));
        model.Graph.Output[0] = TestModels.Input("y", DataType.Float, -1, 64);
        (model.IrVersion, model.OpsetImport[0].Version) = (10, 21);
        using var folder = new TempFolder();
        OnnxFile.Save(model, folder["m.onnx"], folder["m.data"], threshold: 0);
        var result = Build(folder["m.onnx"], folder, new() { ["Weights"] = "int8", ["Activations"] = "float" });
        Assert.HasCount(6, result.Plan!.Layers);
        var graph = OnnxFile.Load(Path.Combine(folder["engine"], "cpu", "model.onnx")).Graph;
        Assert.AreEqual(0, graph.Node.Count(n => n.OpType is "Transpose" or "Cast"));
        // w, turned (stored the other way round) and half: one set of codes for all that share one.
        Assert.AreEqual(3, graph.Initializer.Count(t => t.DataType == (int)DataType.Int8));
        Assert.AreEqual(Hash(graph, "w_q"), Hash(graph, "turned_q"));
        Assert.IsTrue(graph.Node.Where(n => n.OpType == "Gemm").All(n => n.Int("transB", 0) == 0));
        using var reference = ModelSession.Open(folder["m.onnx"], new SessionSettings { Threads = 2 });
        using var engine = QuantizedModel.Load(folder["engine"]);
        var x = ModelTensor.Create(TestModels.Random(5 * 64, 1), 5, 64);
        Assert.IsGreaterThan(0.999f, TensorPrimitives.CosineSimilarity(reference.Run(new Dictionary<string, ModelTensor> { ["x"] = x })["y"].AsSpan<float>(), engine.Session.Run(new Dictionary<string, ModelTensor> { ["x"] = x })["y"].AsSpan<float>()));
    }

    [TestMethod]
    public void Int4_convolutions_and_int2_run_on_the_cpu()
    {
        foreach (var weights in (string[])["int4", "int2"])
        {
            using var folder = new TempFolder();
            var result = Build(Repository.Digits("digits_cnn.onnx"), folder, new() { ["Weights"] = weights, ["Activations"] = "float", ["WeightZeroPoint"] = "true", ["ValidationData"] = Repository.Digits("digits_calib.npz") });
            Assert.IsGreaterThan(weights == "int4" ? 15 : 0, result.Manifest.Quality.Min(q => q.SqnrDb), weights);
            Assert.IsTrue(result.Plan!.Layers.Any(l => l.Op == "Conv"));
            using var model = QuantizedModel.Load(folder["engine"]);
        }
    }

    [TestMethod]
    public void What_TensorRT_cannot_run_is_refused()
    {
        foreach (var (key, value) in ((string, string)[])[("Weights", "int2"), ("WeightZeroPoint", "true"), ("BlockSize", "32")])
        {
            using var folder = new TempFolder();
            var metadata = new Dictionary<string, string> { ["Weights"] = "int4", ["Activations"] = "float", ["Targets"] = "tensorrt-onnx", [key] = value };
            Assert.AreEqual("QSDK3030", Assert.ThrowsExactly<QuantSdkException>(() => Build(Arch("llama"), folder, metadata)).Code, key);
            Assert.IsEmpty(Directory.GetFileSystemEntries(folder.Path), "nothing is left");
        }
        using var last = new TempFolder();
        var result = Build(Repository.Digits("digits_cnn.onnx"), last, new() { ["Weights"] = "int4", ["Activations"] = "float", ["Targets"] = "tensorrt-onnx" });
        Assert.IsTrue(result.Plan!.Layers.All(l => l.Op != "Conv"));
        Assert.IsTrue(result.Report.Kept.Any(k => k.Reason.Contains("TensorRT has 4-bit weights for linear layers alone", StringComparison.Ordinal)));
        // 96 inputs are not whole blocks of 64, with data or without.
        Assert.IsTrue(result.Report.Kept.Any(k => k.Reason.Contains("whole blocks of 64 or 128; the weight has 96 inputs", StringComparison.Ordinal)));
        using var rounded = new TempFolder();
        result = Build(Repository.Digits("digits_cnn.onnx"), rounded, new() { ["Weights"] = "int4", ["Activations"] = "float", ["Targets"] = "tensorrt-onnx", ["CalibrationData"] = Repository.Digits("digits_calib.npz") });
        Assert.IsTrue(result.Plan!.Layers.All(l => l.Op != "Conv"));
        Assert.IsTrue(result.Report.Kept.Any(k => k.Reason.Contains("the weight has 96 inputs", StringComparison.Ordinal)));
    }

    [TestMethod]
    public void A_cancelled_build_leaves_nothing()
    {
        using var folder = new TempFolder();
        using var source = new CancellationTokenSource();
        var log = new CancellingLog(source);
        var request = new BuildRequest("m", Arch("llama"), folder.Path, folder["engine"], null, 2, new Dictionary<string, string> { ["Precision"] = "int4" }, null);
        Assert.Throws<OperationCanceledException>(() => ModelBuilder.Build(request, log, source.Token));
        Assert.IsEmpty(Directory.GetFileSystemEntries(folder.Path));
    }

    [TestMethod]
    public void A_full_disk_is_an_error_with_a_code()
    {
        using var folder = new TempFolder();
        var model = WeightOnlyModel.Open(Arch("llama"), new Recipe { Name = "m", Weights = "int4", Activations = "float" });
        foreach (var data in (string[])["/dev/full", folder["none/model.data"]])
            Assert.AreEqual("QSDK1004", Assert.ThrowsExactly<QuantSdkException>(() => model.Write("cpu", folder["model.onnx"], data, 2, null, default)).Code, data);
    }

    [TestMethod]
    public void Tensors_that_share_bytes_go_on_sharing_them()
    {
        using var folder = new TempFolder();
        var model = TestModels.Create(
            [TestModels.Input("ids", DataType.Int64, -1)], ["y"],
            [Tensors.Create("table", TestModels.Random(900 * 64, 1), 900, 64), Tensors.Create("same", TestModels.Random(900 * 64, 1), 900, 64), Tensors.Create("w", TestModels.Random(64 * 64, 2), 64, 64), Tensors.Create("last", TestModels.Random(64 * 64, 3), 64, 64)],
            Nodes.Create("Gather", "a", ["table", "ids"], ["e1"]), Nodes.Create("Gather", "b", ["same", "ids"], ["e2"]), Nodes.Create("Add", "c", ["e1", "e2"], ["e"]),
            Nodes.Create("MatMul", "d", ["e", "w"], ["h"]), Nodes.Create("MatMul", "f", ["h", "last"], ["y"]));
        (model.IrVersion, model.OpsetImport[0].Version) = (10, 21);
        OnnxFile.Save(model, folder["m.onnx"], folder["m.data"]);
        var saved = ModelProto.Parser.ParseFrom(File.ReadAllBytes(folder["m.onnx"]));
        var (table, same) = (saved.Graph.Initializer[0], saved.Graph.Initializer[1]);
        same.ExternalData.Clear();
        same.ExternalData.Add(table.ExternalData);
        OnnxFile.SaveGraph(saved, folder["shared.onnx"]);
        WeightOnlyModel.Open(folder["shared.onnx"], new Recipe { Name = "m", Weights = "int8", Activations = "float" }).Write("cpu", folder["out.onnx"], folder["out.data"], 2, null, default);
        Assert.IsLessThan(1.5 * 900 * 64 * 4, new FileInfo(folder["out.data"]).Length);
        var written = OnnxFile.Load(folder["out.onnx"]).Graph;
        Assert.AreEqual(Hash(written, "table"), Hash(written, "same"));
        CollectionAssert.AreEqual(model.Graph.Initializer[0].RawData.ToByteArray(), written.Initializer.Single(t => t.Name == "table").RawData.ToByteArray());
    }

    private sealed class CancellingLog(CancellationTokenSource source) : IBuildLog
    {
        public void Phase(string phase)
        {
        }

        public void Progress(string phase, int done, int total) => source.Cancel();

        public void Warning(string code, string message, string? file)
        {
        }

        public void Detail(string message)
        {
        }
    }

    private static string Hash(GraphProto graph, string tensor) => Convert.ToHexString(System.Security.Cryptography.SHA256.HashData(graph.Initializer.Single(t => t.Name == tensor).RawData.Span));

    private static string Arch(string name) => Path.Combine(Repository.Root, "tests", "data", "archs", $"{name}_tiny.onnx");

    [SuppressMessage("Performance", "CA1859", Justification = "What Run takes.")]
    private static IReadOnlyDictionary<string, ModelTensor> Tokens(ModelSession session) => session.Inputs.ToDictionary(i => i.Name, i =>
    {
        var shape = i.Shape.Select((d, axis) => d > 0 ? d : axis == 0 ? 2 : 16).ToArray();
        var random = new Random(11);
        return ModelTensor.Create([.. Enumerable.Range(0, (int)shape.Aggregate((a, b) => a * b)).Select(_ => i.Name.Contains("mask", StringComparison.Ordinal) ? 1L : random.Next(1, 256))], shape);
    });

    private static BuildResult Build(string model, TempFolder folder, Dictionary<string, string> metadata) =>
        ModelBuilder.Build(new BuildRequest("m", model, folder.Path, folder["engine"], null, 2, metadata, null), new SilentLog(), default);
}
