using Microsoft.ML.OnnxRuntime;
using QuantSdk.Engines;
using QuantSdk.Engines.TensorRt;
using QuantSdk.Onnx;
using QuantSdk.Runtime;
using QuantSdk.Serving;
using QuantSdk.Store;
using QuantSdk.TrtExecStandIn;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Tests.Engines.TensorRt;

/// <summary>Whole builds with the target tensorrt, by a stand-in for trtexec: files, manifest, graphs, store, failures.</summary>
[TestClass]
public sealed class TensorRtBuildTests
{
    [TestMethod]
    public void A_classifier_has_a_plan_its_wrapper_and_the_cpu_to_fall_back_to()
    {
        using var folder = new TempFolder();
        var result = Build(folder, "digits_cnn.onnx", "10.13", new() { ["CalibrationData"] = "digits_calib.npz", ["Targets"] = "cpu;tensorrt", ["CudaGraph"] = "true" });

        CollectionAssert.AreEqual(
            (string[])["cpu/model.data", "cpu/model.onnx", "cpu/model.optimised.data", "cpu/model.optimised.onnx", "manifest.json", "tensorrt/model.context.onnx", "tensorrt/model.plan"], FilesIn(folder["engine"]));
        var variant = result.Manifest.Variants[0];
        Assert.AreEqual(("tensorrt", "tensorrt/model.context.onnx", "tensorrt/model.plan", "10.13.3.9", true), (variant.Target, variant.Model, variant.TensorRt!.Plan, variant.TensorRt.Version, variant.TensorRt.CudaGraph));
        CollectionAssert.AreEqual((string[])["tensorrt/model.context.onnx", "tensorrt/model.plan"], variant.Files.Select(f => f.Path).ToArray());
        var batch = variant.TensorRt.Profiles.Single().Inputs.Single();
        Assert.AreEqual("image 1,1,32,32 1,1,32,32 8,1,32,32", $"{batch.Input} {string.Join(',', batch.Min)} {string.Join(',', batch.Opt)} {string.Join(',', batch.Max)}");
        // ONNX Runtime takes the wrapper for what it is, and has no provider for it here.
        AssertNoProvider(folder["engine/tensorrt/model.context.onnx"]);
        // What trtexec read was in 16 bits and of the rules' types.
        var run = StandInTrtExec.Runs(folder["trt"]).Single();
        CollectionAssert.Contains(run.Arguments.ToArray(), "--stronglyTyped");
        // An app without TensorRT is told so and goes on.
        var log = new List<string>();
        using var loaded = QuantizedModel.Load(folder["engine"], null, log.Add);
        Assert.AreEqual("cpu", loaded.Target);
        StringAssert.Contains(log[0], "tensorrt passed over:");
        Assert.IsGreaterThan(25, result.Manifest.Quality.Min(q => q.SqnrDb));
        Assert.AreEqual("10.13.3.9", result.Report.Plans!.Single().Version.ToString());
        // A server joins requests as far as the plan goes: the wrapper says that the batch is one.
        Assert.AreEqual(8, TritonRepository.Write([folder["engine"]], folder["repository"], new TritonOptions()).Single().MaxBatchSize);
    }

    [TestMethod]
    public void The_graph_for_trtexec_is_in_16_bits_between_float_ends_unless_asked_otherwise()
    {
        using var folder = new TempFolder();
        foreach (var (precision, type) in ((string, DataType)[])[("fp16", DataType.Float16), ("bf16", DataType.Bfloat16), ("fp32", DataType.Float)])
        {
            Build(folder, "digits_cnn.onnx", "10.13", new() { ["CalibrationData"] = "digits_calib.npz", ["Targets"] = "tensorrt;tensorrt-onnx", ["HighPrecision"] = precision });
            var graph = OnnxFile.Load(folder["engine/tensorrt/model.onnx"]).Graph;
            Assert.AreEqual((int)DataType.Float, graph.Output[0].Type.TensorType.ElemType, precision);
            var types = graph.Node.Where(n => n.OpType == "QuantizeLinear").Select(n => (DataType)graph.Initializer.First(t => t.Name == n.Input[1]).DataType).Distinct().ToArray();
            Assert.AreEqual(type, types.Single(), precision);
        }
        // Types that TensorRT chooses are not written into the graph.
        Build(folder, "digits_cnn.onnx", "10.0", new() { ["CalibrationData"] = "digits_calib.npz", ["Targets"] = "tensorrt;tensorrt-onnx", ["StronglyTyped"] = "false", ["BuilderOptimizationLevel"] = "4" });
        Assert.IsFalse(OnnxFile.Load(folder["engine/tensorrt/model.onnx"]).Graph.Initializer.Any(t => t.DataType == (int)DataType.Float16));
        var arguments = StandInTrtExec.Runs(folder["trt"])[^1].Arguments;
        CollectionAssert.IsSubsetOf((string[])["--fp16", "--int8", "--builderOptimizationLevel=4"], arguments.ToArray());
    }

    [TestMethod]
    public void A_cpu_beside_it_changes_nothing_in_the_graph_for_TensorRT()
    {
        using var folder = new TempFolder();
        var metadata = new Dictionary<string, string> { ["CalibrationData"] = "digits_calib.npz", ["Targets"] = "tensorrt-onnx" };
        var alone = Build(folder, "digits_cnn.onnx", "10.13", metadata);
        var graph = File.ReadAllBytes(folder["engine/tensorrt/model.onnx"]);
        var both = Build(folder, "digits_cnn.onnx", "10.13", new(metadata) { ["Targets"] = "tensorrt-onnx;cpu" });
        // Some layers do not pay on the CPU, and only there.
        Assert.IsTrue(both.Report.Layers < alone.Report.Layers || both.Report.Kept.All(k => !k.Reason.Contains("slower in int8 on this CPU", StringComparison.Ordinal)));
        CollectionAssert.AreEqual(graph, File.ReadAllBytes(folder["engine/tensorrt/model.onnx"]));
        Assert.IsTrue(File.Exists(folder["m.tensorrt.plan.json"]));
    }

    [TestMethod]
    public void A_cached_denoiser_has_two_plans_and_the_live_one_takes_the_cached_tensors()
    {
        using var folder = new TempFolder();
        var result = Build(folder, "unet.onnx", "10.16", new()
        {
            ["Precision"] = "none", ["Cache"] = "up_blocks.2", ["Targets"] = "tensorrt", ["MinShapes"] = "sample:2x1x32x32,timestep:2,encoder_hidden_states:2x4x64", ["OptShapes"] = "sample:2x1x32x32,timestep:2,encoder_hidden_states:2x4x64",
            ["MaxShapes"] = "sample:6x1x32x32,timestep:6,encoder_hidden_states:6x4x64",
        }, adapt: Shapes);
        CollectionAssert.AreEqual((string[])["manifest.json", "tensorrt/live.context.onnx", "tensorrt/live.plan", "tensorrt/model.context.onnx", "tensorrt/model.plan"], FilesIn(folder["engine"]));
        var cached = result.Manifest.Variants.Single().Cache!;
        Assert.AreEqual("tensorrt/live.context.onnx", cached.Live);
        var runs = StandInTrtExec.Runs(folder["trt"]);
        Assert.HasCount(2, runs);
        foreach (var tensor in cached.Tensors)
        {
            Assert.IsTrue(runs[1].Arguments.Single(a => a.StartsWith("--maxShapes=", StringComparison.Ordinal)).Contains($"{tensor.Name}:6x", StringComparison.Ordinal), tensor.Name);
            Assert.IsTrue(runs[1].Arguments.Single(a => a.StartsWith("--minShapes=", StringComparison.Ordinal)).Contains($"{tensor.Name}:2x", StringComparison.Ordinal), tensor.Name);
        }
        foreach (var part in (string[])["model", "live"])
            AssertNoProvider(folder[$"engine/tensorrt/{part}.context.onnx"]);
        Assert.HasCount(2, result.Report.Plans!);
    }

    [TestMethod]
    public void A_plan_without_weights_has_the_graph_beside_it()
    {
        using var folder = new TempFolder();
        var result = Build(folder, "digits_cnn.onnx", "10.13", new() { ["Precision"] = "none", ["Targets"] = "tensorrt", ["StripWeights"] = "true" });
        CollectionAssert.AreEqual((string[])["manifest.json", "tensorrt/model.context.onnx", "tensorrt/model.data", "tensorrt/model.onnx", "tensorrt/model.stripped.engine"], FilesIn(folder["engine"]));
        Assert.IsTrue(result.Manifest.Variants.Single().TensorRt!.Stripped);
        CollectionAssert.IsSubsetOf((string[])["tensorrt/model.data", "tensorrt/model.onnx", "tensorrt/model.stripped.engine"], result.Manifest.Variants.Single().Files.Select(f => f.Path).ToArray());
        var node = OnnxFile.LoadHeaders(folder["engine/tensorrt/model.context.onnx"]).Graph.Node.Single();
        Assert.AreEqual("model.onnx", node.Attribute.Single(a => a.Name == "onnx_model_filename").S.ToStringUtf8());
    }

    [TestMethod]
    public void Weights_that_stream_make_a_plan_too()
    {
        using var folder = new TempFolder();
        Build(folder, "unet.onnx", "10.13", new() { ["Weights"] = "int4", ["Activations"] = "float", ["Targets"] = "tensorrt;tensorrt-onnx", ["BlockSize"] = "64", ["Shapes"] = "sample:2x1x32x32,timestep:2,encoder_hidden_states:2x4x64" }, adapt: Shapes);
        var graph = OnnxFile.Load(folder["engine/tensorrt/model.onnx"]);
        Assert.IsTrue(graph.Graph.Initializer.Any(t => t.DataType == (int)DataType.Int4));
        Assert.IsTrue(graph.Graph.Initializer.Any(t => t.DataType == (int)DataType.Float16));
        Assert.IsGreaterThanOrEqualTo(21, graph.Proto.OpsetImport.Single(o => o.Domain.Length == 0).Version);
    }

    [TestMethod]
    public void A_plan_in_the_store_is_not_built_again_and_another_version_has_its_own()
    {
        using var folder = new TempFolder();
        var store = new StoreSettings(folder["store"], null, StoreMode.ReadWrite, 1L << 32, false);
        var metadata = new Dictionary<string, string> { ["CalibrationData"] = "digits_calib.npz", ["Targets"] = "tensorrt" };
        Build(folder, "digits_cnn.onnx", "10.13", metadata, store: store);
        var first = File.ReadAllBytes(folder["engine/tensorrt/model.plan"]);
        var again = Build(folder, "digits_cnn.onnx", "10.13", metadata, store: store);
        Assert.AreEqual("store", again.Report.Stages!["model"]);
        CollectionAssert.AreEqual(first, File.ReadAllBytes(folder["engine/tensorrt/model.plan"]));
        // With another target beside it, quality is measured on the graph of a plan that is there.
        var exported = Build(folder, "digits_cnn.onnx", "10.13", new(metadata) { ["Targets"] = "tensorrt;tensorrt-onnx" }, store: store);
        Assert.AreEqual("store built", $"{exported.Report.Stages!["tensorrt"]} {exported.Report.Stages["tensorrt-onnx"]}");
        Assert.HasCount(1, StandInTrtExec.Runs(folder["trt"]));
        var other = Build(folder, "digits_cnn.onnx", "10.16", metadata, store: store);
        Assert.AreEqual("store built", $"{other.Report.Stages!["plan"]} {other.Report.Stages["tensorrt"]}");
        Assert.AreEqual("10.16.0.72", other.Manifest.Variants.Single().TensorRt!.Version);
    }

    [TestMethod]
    [DataRow("10.13", "out-of-memory", "", "QSDK4035")]
    [DataRow("10.13", "killed", "", "QSDK4039")]
    [DataRow("10.13", "cut-plan", "", "QSDK4043")]
    [DataRow("10.13", "other-version", "", "QSDK4044")]
    [DataRow("11.1", null, "StronglyTyped=false", "QSDK4026")]
    [DataRow("8.6", null, "", "QSDK4026")]
    [DataRow("10.13", null, "driver=absent", "QSDK4023")]
    [DataRow(null, null, "", "QSDK4021")]
    public void A_failure_writes_nothing_and_fallback_ships_the_rest(string? family, string? failure, string metadata, string code)
    {
        using var folder = new TempFolder();
        var given = new Dictionary<string, string> { ["CalibrationData"] = "digits_calib.npz", ["Targets"] = "tensorrt;cpu" };
        if (metadata.Split('=') is [var name, var value] && name != "driver")
            given[name] = value;
        var driver = metadata == "driver=absent" ? "absent" : "present";
        var store = new StoreSettings(folder["store"], null, StoreMode.ReadWrite, 1L << 32, false);

        var log = new SilentLog();
        var error = Assert.ThrowsExactly<QuantSdkException>(() => Build(folder, "digits_cnn.onnx", family, given, failure, driver, log: log, store: store));
        Assert.AreEqual(code, error.Code, error.Message);
        Assert.IsFalse(Directory.Exists(folder["engine"]));
        Assert.IsEmpty(Directory.GetFileSystemEntries(folder.Path, "engine*"));
        if (code is "QSDK4026" or "QSDK4023" or "QSDK4021")
            Assert.IsEmpty(log.Phases, "said before the model is calibrated");

        given["OnEngineFailure"] = "fallback";
        log = new SilentLog();
        var result = Build(folder, "digits_cnn.onnx", family, given, failure, driver, log: log, store: store);
        Assert.AreEqual("cpu", result.Manifest.Variants.Single().Target);
        Assert.IsTrue(log.Warnings.Any(w => w.Code == "QSDK4014"), string.Join('\n', log.Warnings));
        StringAssert.Contains(File.ReadAllText(folder["engine/tensorrt/model.plan"]), code);
        QuantizedModel.Load(folder["engine"]).Dispose();
        // The next build tries again.
        Assert.AreNotEqual("store", Build(folder, "digits_cnn.onnx", family, given, failure, driver, store: store).Report.Stages!.GetValueOrDefault("model"));
    }

    [TestMethod]
    [DataRow("", "", "QSDK4035")]
    [DataRow("Weights", "int2", "QSDK3030")]
    public void Where_auto_chose_TensorRT_a_model_that_it_does_not_take_is_built_for_the_cpu(string key, string value, string code)
    {
        using var folder = new TempFolder();
        var given = new Dictionary<string, string> { ["Precision"] = "none" };
        if (key.Length > 0)
            given = new() { [key] = value, ["Activations"] = "float" };
        var log = new SilentLog();
        var result = Build(folder, "digits_cnn.onnx", "10.13", given, "out-of-memory", log: log);
        Assert.AreEqual("cpu", result.Manifest.Variants.Single().Target);
        Assert.IsTrue(log.Warnings.Any(w => w.Code == "QSDK4014" && w.Message.Contains(code, StringComparison.Ordinal)), string.Join('\n', log.Warnings));
        StringAssert.Contains(File.ReadAllText(folder["engine/tensorrt/model.plan"]), code);
    }

    [TestMethod]
    public void Every_file_that_the_build_declares_is_there_without_the_engine_too()
    {
        using var folder = new TempFolder();
        Build(folder, "digits_cnn.onnx", "10.13", new() { ["Precision"] = "none", ["Targets"] = "tensorrt;cpu", ["StripWeights"] = "true", ["OnEngineFailure"] = "fallback" }, driver: "absent");
        CollectionAssert.IsSubsetOf((string[])["tensorrt/model.context.onnx", "tensorrt/model.data", "tensorrt/model.onnx", "tensorrt/model.stripped.engine"], FilesIn(folder["engine"]));
    }

    [TestMethod]
    public void A_plan_that_ONNX_Runtime_does_not_load_is_built_and_said()
    {
        using var folder = new TempFolder();
        var log = new SilentLog();
        Build(folder, "digits_cnn.onnx", "11.1", new() { ["Precision"] = "none", ["Targets"] = "tensorrt;cpu" }, log: log);
        Assert.IsTrue(log.Warnings.Any(w => w.Code == "QSDK4012"), string.Join('\n', log.Warnings));
        Assert.IsTrue(File.Exists(folder["engine/tensorrt/model.plan"]));
    }

    private static void AssertNoProvider(string wrapper)
    {
        var error = Assert.ThrowsExactly<OnnxRuntimeException>(() => new InferenceSession(wrapper).Dispose());
        StringAssert.Contains(error.Message, "EPContext node generated by 'TensorrtExecutionProvider' is not compatible with any execution provider");
    }

    /// <summary>The inputs of the digits UNet, whatever their sizes are called.</summary>
    private static string Shapes(string name, string text)
    {
        var model = OnnxFile.LoadHeaders(Repository.Digits(name));
        var batches = text.Split(',').Select(t => t.Split(':')[1].Split('x')[0]).First();
        return string.Join(',', new GraphView(model.Graph).Inputs.Where(i => i.Type.TensorType.Shape.Dim.Any(d => !d.HasDimValue))
            .Select(i => $"{i.Name}:{string.Join('x', i.Type.TensorType.Shape.Dim.Select(d => d.HasDimValue ? $"{d.DimValue}" : batches))}"));
    }

    private static BuildResult Build(
        TempFolder folder, string model, string? family, Dictionary<string, string> metadata, string? failure = null, string driver = "present", SilentLog? log = null, StoreSettings? store = null, Func<string, string, string>? adapt = null)
    {
        foreach (var key in adapt is null ? [] : metadata.Keys.Where(k => k.EndsWith("Shapes", StringComparison.Ordinal)).ToArray())
            metadata[key] = adapt!(model, metadata[key]);
        var path = family is null ? folder["nowhere/trtexec"] : StandInTrtExec.Write(folder["trt"], family, failure);
        var request = ModelBuilderTests.Request(folder, model, metadata) with { TrtExec = new TrtExecSettings(path, folder["trtexec.json"], driver, null, folder["logs"], folder["shared"]), Store = store };
        return ModelBuilder.Build(request, log ?? new SilentLog(), default);
    }

    private static string[] FilesIn(string folder) => [.. Directory.GetFiles(folder, "*", SearchOption.AllDirectories).Select(f => Path.GetRelativePath(folder, f)).Order(StringComparer.Ordinal)];
}
