using QuantSdk.Engines;
using QuantSdk.Onnx;
using QuantSdk.Planning;
using QuantSdk.Rewriting;
using QuantSdk.Runtime;
using QuantSdk.Tests.Calibration;
using QuantSdk.Tests.Onnx;
using QuantSdk.Tests.Onnx.Upgrading;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Tests.Engines;

/// <summary>Architectures, and shapes of graphs that models from elsewhere have, through the whole build for cpu and tensorrt-onnx.</summary>
[TestClass]
public sealed class WholeModelTests
{
    public static IEnumerable<object[]> Architectures => Directory.GetFiles(Repository.Data("archs"), "*.onnx").Order(StringComparer.Ordinal).Select(f => new object[] { f });

    [TestMethod]
    [DynamicData(nameof(Architectures))]
    public void An_architecture_is_built_and_loads_and_every_float_layer_has_a_reason(string path)
    {
        using var folder = new TempFolder();
        var result = Build(path, folder, out _);
        Assert.IsGreaterThan(15, result.Manifest.Quality.Min(q => q.SqnrDb));
        Assert.IsEmpty(result.Report.NotFused);
        var products = Simplification.Simplify(OnnxFile.Load(path)).Graph.Node.Where(Placement.IsProduct).Select(n => n.Name);
        var known = result.Plan!.Layers.Select(l => l.Node).Concat(result.Plan.Kept.Where(k => k.Reason.Length > 0).Select(k => k.Node)).ToHashSet();
        Assert.AreEqual("", string.Join(" ", products.Where(p => !known.Contains(p))));
    }

    [TestMethod]
    public void A_model_whose_weights_are_all_inside_control_flow_is_built_in_float_and_says_so()
    {
        // Constants in the branches, as exporters write scripted modules.
        GraphProto Branch(string name, int seed)
        {
            var weight = Nodes.Create("Constant", "", [], [name + "_w"]);
            weight.Attribute.Add(new AttributeProto { Name = "value", Type = AttributeProto.Types.AttributeType.Tensor, T = Tensors.Create("", TestModels.Random(64 * 64 * 3, seed), 64, 64, 3) });
            var branch = new GraphProto { Name = name };
            branch.Node.Add([weight, Nodes.Create("Conv", "conv", ["x", name + "_w"], [name + "_c"]), Nodes.Create("Relu", "relu", [name + "_c"], [name + "_y"])]);
            branch.Output.Add(new ValueInfoProto { Name = name + "_y" });
            return branch;
        }

        using var folder = new TempFolder();
        var model = TestModels.Create([TestModels.Input("x", DataType.Float, -1, 64, 20)], ["y"], [Tensors.Scalar("limit", 0f)],
            Nodes.Create("ReduceMax", "max", ["x"], ["m"]).With("keepdims", 0L), Nodes.Create("Less", "less", ["m", "limit"], ["flag"]), Nodes.Create("If", "choose", ["flag"], ["y"]).Body("then_branch", Branch("then", 1)).Body("else_branch", Branch("else", 2)));
        TestModels.Reload(model, folder);
        var result = Build(folder["model.onnx"], folder, out var log);
        CollectionAssert.Contains(log.Warnings.Select(w => w.Code).ToArray(), "QSDK3011");
        StringAssert.Contains(result.Report.Kept.Single().Reason, "2 products");
        Assert.IsGreaterThan(100, result.Manifest.Quality[0].SqnrDb);
        Assert.IsTrue(File.Exists(folder["engine/cpu/model.optimised.onnx"]));
    }

    [TestMethod]
    public void Constants_in_a_sequence_are_not_taken_for_tensors()
    {
        using var folder = new TempFolder();
        var model = TestModels.Create([TestModels.Input("x", DataType.Float, -1, 64), TestModels.Input("mask", DataType.Int64)], ["y"],
            [Tensors.Create("w0", TestModels.Random(64 * 64, 1), 64, 64), Tensors.Create("w1", TestModels.Random(64 * 64, 2), 64, 64), Tensors.Create("w2", TestModels.Random(64 * 64, 3), 64, 64), Tensors.Vector("a", TestModels.Random(64, 4)), Tensors.Vector("b", TestModels.Random(64, 5))],
            Nodes.Create("SequenceConstruct", "sequence", ["a", "b"], ["s"]), Nodes.Create("SequenceAt", "at", ["s", "mask"], ["t"]), Nodes.Create("MatMul", "m0", ["x", "w0"], ["h0"]), Nodes.Create("Add", "add", ["h0", "t"], ["h1"]),
            Nodes.Create("MatMul", "m1", ["h1", "w1"], ["h2"]), Nodes.Create("Tanh", "tanh", ["h2"], ["h3"]), Nodes.Create("MatMul", "m2", ["h3", "w2"], ["y"]));
        TestModels.Reload(model, folder);
        Assert.AreEqual("m1", Build(folder["model.onnx"], folder, out _).Plan!.Layers.Single().Node);
    }

    [TestMethod]
    public void A_weight_that_is_prepacked_into_an_empty_buffer_and_another_loads_again()
    {
        // 72 channels: ONNX Runtime packs a depthwise weight of more than fills its vectors only as the second of two buffers.
        using var folder = new TempFolder();
        var model = TestModels.Create([TestModels.Input("x", DataType.Float, -1, 72, 9, 9)], ["y"],
            [Tensors.Create("w0", TestModels.Random(72 * 72, 1), 72, 72, 1, 1), Tensors.Create("w1", TestModels.Random(72 * 25, 2), 72, 1, 5, 5), Tensors.Create("w2", TestModels.Random(72 * 72, 3), 72, 72, 1, 1)],
            Nodes.Create("Conv", "c0", ["x", "w0"], ["h0"]), Nodes.Create("Conv", "c1", ["h0", "w1"], ["h1"]).With("group", 72L).With("pads", 2, 2, 2, 2).With("strides", 2, 2), Nodes.Create("Conv", "c2", ["h1", "w2"], ["y"]));
        TestModels.Reload(model, folder);
        Assert.AreEqual("c1", Build(folder["model.onnx"], folder, out _).Plan!.Layers.Single().Node);
    }

    [TestMethod]
    public void A_reader_that_stays_in_float_reads_what_it_did_where_others_are_smoothed()
    {
        // One LayerNormalization, read by the experts' first products and by a router that is never quantised.
        using var folder = new TempFolder();
        var result = Build(Repository.Data("archs/dbrx_tiny.onnx"), folder, out _, ("Only", "*w1"), ("SmoothQuant", "0.5"));
        Assert.IsTrue(result.Plan!.Layers.All(l => l.Activation.Smoothed is not null));
        Assert.IsGreaterThan(35, result.Manifest.Quality[0].SqnrDb);
    }

    private static BuildResult Build(string path, TempFolder folder, out SilentLog log, params (string Name, string Value)[] more)
    {
        using var reference = ReferenceModel.Open(OnnxFile.Load(path), 2);
        var data = NpyWriter.Npz(folder, [.. reference.Session.Inputs.Select(RandomRuns.Fill).Zip(reference.Session.Inputs, (tensor, port) => (port.Name,
            tensor.Type == "float" ? NpyWriter.Npy("<f4", [.. tensor.Shape], tensor.AsSpan<float>().ToArray()) : NpyWriter.Npy("<i8", [.. tensor.Shape], tensor.AsSpan<long>().ToArray())))]);
        var metadata = new Dictionary<string, string> { ["CalibrationData"] = data, ["ValidationData"] = data, ["Targets"] = "cpu;tensorrt-onnx", ["OptimizeFor"] = "size" };
        foreach (var (name, value) in more)
            metadata[name] = value;
        log = new SilentLog();
        var result = ModelBuilder.Build(new BuildRequest("m", path, folder.Path, folder["engine"], null, 2, metadata, null), log, default);
        // Read as it is written: quantise and dequantise, nothing fused.
        using var tensorRt = ModelSession.Open(folder["engine/tensorrt/model.onnx"], new SessionSettings { Entries = new Dictionary<string, string> { ["session.disable_quant_qdq"] = "1" } });
        var inputs = reference.Session.Inputs.ToDictionary(i => i.Name, RandomRuns.Fill);
        Assert.IsGreaterThan(15, RandomRuns.Sqnr(reference.Session.Run(inputs), tensorRt.Run(inputs)), "tensorrt");
        return result;
    }
}
