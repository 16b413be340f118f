using System.Text.Json;
using QuantSdk.Engines;
using QuantSdk.Onnx;
using QuantSdk.Runtime;
using QuantSdk.Tests.Onnx;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Tests.Engines;

/// <summary>Whole builds of the small models.</summary>
[TestClass]
public sealed class ModelBuilderTests
{
    [TestMethod]
    public void The_classifier_keeps_its_accuracy_and_shrinks()
    {
        using var folder = new TempFolder();
        var log = new SilentLog();
        var result = ModelBuilder.Build(Request(folder, "digits_cnn.onnx", new() { ["CalibrationData"] = "digits_calib.npz" }), log, default);
        CollectionAssert.AreEqual(new[] { "Calibrate", "Quantize", "BuildEngine", "Verify" }, log.Phases);
        Assert.IsEmpty(log.Warnings);
        Assert.AreEqual("digits_cnn -> models/digits_cnn (int8, 0.4 → 0.1 MB, SQNR", result.Summary[..57]);
        Assert.AreEqual(1, result.Report.MacShare);
        Assert.IsGreaterThan(30, result.Manifest.Quality.Min(q => q.SqnrDb));
        CollectionAssert.AreEquivalent(
            new[] { "manifest.json", "cpu/model.onnx", "cpu/model.data", "cpu/model.optimised.onnx", "cpu/model.optimised.data" },
            Directory.GetFiles(folder["engine"], "*", SearchOption.AllDirectories).Select(f => Path.GetRelativePath(folder["engine"], f)).ToArray());
        Assert.IsLessThan(0.31, result.Report.EngineBytes / (double)result.Report.FloatBytes);
        CollectionAssert.AreEquivalent(new[] { "engine", "m.report.json", "m.plan.json", "m.calibration.json" }, Directory.GetFileSystemEntries(folder.Path).Select(Path.GetFileName).ToArray(), "nothing is left beside it");
        foreach (var secret in (string[])[folder.Path, Repository.Root, Environment.MachineName])
            Assert.IsFalse(File.ReadAllText(Path.Combine(folder["engine"], "manifest.json")).Contains(secret, StringComparison.Ordinal));
    }

    [TestMethod]
    public void Two_builds_give_the_same_bytes_whatever_the_threads()
    {
        using var folder = new TempFolder();
        var metadata = new Dictionary<string, string> { ["CalibrationData"] = "digits_calib.npz", ["Targets"] = "cpu;tensorrt-onnx" };
        var request = Request(folder, "digits_cnn.onnx", metadata);
        ModelBuilder.Build(request with { Threads = 2, Output = folder["two"] }, new SilentLog(), default);
        var calibration = File.ReadAllText(folder["m.calibration.json"]);
        ModelBuilder.Build(request with { Threads = 1, Output = folder["one"] }, new SilentLog(), default);
        Assert.AreEqual(calibration, File.ReadAllText(folder["m.calibration.json"]));
        foreach (var file in Directory.GetFiles(folder["one"], "*", SearchOption.AllDirectories).Select(f => Path.GetRelativePath(folder["one"], f)))
            CollectionAssert.AreEqual(File.ReadAllBytes(Path.Combine(folder["two"], file)), File.ReadAllBytes(Path.Combine(folder["one"], file)), file);
    }

    [TestMethod]
    public void On_another_CPU_the_portable_graph_gives_the_same_outputs()
    {
        using var folder = new TempFolder();
        ModelBuilder.Build(Request(folder, "digits_cnn.onnx", new() { ["CalibrationData"] = "digits_calib.npz" }), new SilentLog(), default);
        using var here = QuantizedModel.Load(folder["engine"]);
        using var elsewhere = QuantizedModel.Load(folder["engine"], new QuantizedModelOptions { CpuFeatures = "x64:forged" });
        Assert.IsTrue(here.Selection.Optimised);
        Assert.IsFalse(elsewhere.Selection.Optimised);
        StringAssert.Contains(string.Join(' ', elsewhere.Selection.Reasons), "forged");
        var image = ModelTensor.Create(Enumerable.Range(0, 8 * 1024).Select(i => MathF.Sin(i * 0.01f)).ToArray(), 8, 1, 32, 32);
        var (a, b) = (Logits(here), Logits(elsewhere));
        for (var i = 0; i < a.Length; i++)
            Assert.AreEqual(a[i], b[i], 1e-3);

        float[] Logits(QuantizedModel model) => model.Run(new Dictionary<string, ModelTensor> { ["image"] = image })["logits"].AsSpan<float>().ToArray();
    }

    [TestMethod]
    public void Without_the_portable_graph_another_CPU_is_told_why_and_without_the_prepacked_one_everything_loads()
    {
        using var folder = new TempFolder();
        ModelBuilder.Build(Request(folder, "digits_cnn.onnx", new() { ["CalibrationData"] = "digits_calib.npz", ["Portable"] = "false" }), new SilentLog(), default);
        Assert.IsFalse(File.Exists(Path.Combine(folder["engine"], "cpu", "model.onnx")));
        QuantizedModel.Load(folder["engine"]).Dispose();
        var error = Assert.ThrowsExactly<QuantSdkException>(() => QuantizedModel.Load(folder["engine"], new QuantizedModelOptions { CpuFeatures = "x64:forged" }));
        Assert.AreEqual("QSDK7008", error.Code);
        StringAssert.Contains(error.Message, "Portable=false");

        ModelBuilder.Build(Request(folder, "digits_cnn.onnx", new() { ["CalibrationData"] = "digits_calib.npz", ["Prepacked"] = "false" }), new SilentLog(), default);
        Assert.IsFalse(File.Exists(Path.Combine(folder["engine"], "cpu", "model.optimised.onnx")));
        using var portable = QuantizedModel.Load(folder["engine"]);
        Assert.IsFalse(portable.Selection.Optimised);
    }

    [TestMethod]
    public void A_model_of_fixed_size_builds_on_random_data_with_a_warning()
    {
        using var folder = new TempFolder();
        var model = TestModels.Create([TestModels.Input("x", DataType.Float, 2, 32)], ["y"],
            [.. Enumerable.Range(0, 3).Select(i => Tensors.Create($"w{i}", TestModels.Random(32 * 32, i), 32, 32))],
            Nodes.Create("MatMul", "first", ["x", "w0"], ["a"]), Nodes.Create("Sigmoid", "s1", ["a"], ["b"]), Nodes.Create("MatMul", "middle", ["b", "w1"], ["c"]), Nodes.Create("Sigmoid", "s2", ["c"], ["d"]), Nodes.Create("MatMul", "last", ["d", "w2"], ["y"]));
        TestModels.Reload(model, folder);
        var log = new SilentLog();
        var request = Request(folder, "digits_cnn.onnx", new() { ["CalibrationData"] = "random", ["OptimizeFor"] = "size" }) with { Model = folder["model.onnx"] };
        var result = ModelBuilder.Build(request, log, default);
        CollectionAssert.AreEqual(new[] { "QSDK2005", "QSDK2006" }, log.Warnings.Select(w => w.Code).ToArray(), "random, and one batch to calibrate and judge on");
        Assert.AreEqual("middle", result.Plan!.Layers.Single().Node);
        Assert.AreEqual(32 * 32, result.Plan.Layers.Single().Macs, "multiply-adds of one row");
        Assert.IsGreaterThan(25, result.Manifest.Quality[0].SqnrDb);
    }

    [TestMethod]
    public void Calibration_by_sampling_sees_every_step_of_both_halves_of_guidance()
    {
        using var folder = new TempFolder();
        var request = Request(folder, "unet.onnx", new() { ["CalibrationData"] = "unet_calib.npz", ["Scheduler"] = "scheduler/scheduler_config.json", ["Steps"] = "2", ["GuidanceScale"] = "2", ["ConditionedBy"] = "prompt_encoder", ["OptimizeFor"] = "size" })
            with { ConditionedBy = Repository.Digits("prompt_encoder.onnx") };
        var result = ModelBuilder.Build(request, new SilentLog(), default);
        using var calibration = JsonDocument.Parse(File.ReadAllText(folder["m.calibration.json"]));
        Assert.AreEqual(2 * 10 * 2, calibration.RootElement.GetProperty("rows").GetInt64(), "2 steps, 10 prompts, with and without");
        Assert.IsGreaterThanOrEqualTo(0.95, result.Report.MacShare);
        Assert.IsGreaterThan(20, result.Manifest.Quality[0].SqnrDb);
        Assert.AreEqual(new DiffusionRoles("sample", "timestep", 1), result.Manifest.Roles);
    }

    [TestMethod]
    public void A_float_model_keeps_its_outputs()
    {
        using var folder = new TempFolder();
        var result = ModelBuilder.Build(Request(folder, "prompt_encoder.onnx", new() { ["Precision"] = "none" }), new SilentLog(), default);
        Assert.AreEqual("none", result.Manifest.Precision);
        using var engine = QuantizedModel.Load(folder["engine"]);
        using var reference = ModelSession.Open(Repository.Digits("prompt_encoder.onnx"), new SessionSettings());
        using var binding = reference.Bind(new Dictionary<string, long[]> { ["label"] = [3] });
        new long[] { 7, 10, 0 }.CopyTo(binding.Input<long>("label"));
        binding.Run();
        var outputs = engine.Run(new Dictionary<string, ModelTensor> { ["label"] = ModelTensor.Create(new long[] { 7, 10, 0 }, 3) });
        foreach (var (name, tensor) in outputs)
            CollectionAssert.AreEqual(binding.Output<float>(name).ToArray(), tensor.AsSpan<float>().ToArray(), name);
    }

    [TestMethod]
    public void A_failed_build_leaves_the_old_engine()
    {
        using var folder = new TempFolder();
        var metadata = new Dictionary<string, string> { ["CalibrationData"] = "digits_calib.npz" };
        ModelBuilder.Build(Request(folder, "digits_cnn.onnx", metadata), new SilentLog(), default);
        var before = File.ReadAllBytes(Path.Combine(folder["engine"], "manifest.json"));
        metadata["MinSqnr"] = "90";
        Assert.AreEqual("QSDK5001", Assert.ThrowsExactly<QuantSdkException>(() => ModelBuilder.Build(Request(folder, "digits_cnn.onnx", metadata), new SilentLog(), default)).Code);
        CollectionAssert.AreEqual(before, File.ReadAllBytes(Path.Combine(folder["engine"], "manifest.json")));
        Assert.HasCount(1, Directory.GetDirectories(folder.Path));
        using var cancelled = new CancellationTokenSource();
        cancelled.Cancel();
        metadata.Remove("MinSqnr");
        Assert.ThrowsExactly<OperationCanceledException>(() => ModelBuilder.Build(Request(folder, "digits_cnn.onnx", metadata), new SilentLog(), cancelled.Token));
        Assert.HasCount(1, Directory.GetDirectories(folder.Path));
    }

    internal static BuildRequest Request(TempFolder folder, string model, Dictionary<string, string> metadata) =>
        new(Path.GetFileNameWithoutExtension(model), Repository.Digits(model), Repository.Digits(""), folder["engine"], folder["m.report.json"], 2, metadata, null);
}
