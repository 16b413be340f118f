using QuantSdk.Caching.Hoisting;
using QuantSdk.Calibration;
using QuantSdk.Engines;
using QuantSdk.Onnx;
using QuantSdk.Runtime;
using QuantSdk.Tests.Onnx;

namespace QuantSdk.Tests.Caching.Hoisting;

[TestClass]
public sealed class HoistBuildTests
{
    private const int Rows = 2;

    /// <summary>Two prompts with an unconditional half each.</summary>
    private static readonly int[] s_prompts = [1, 2];

    [TestMethod]
    [DataRow("unet", "none", "")]
    [DataRow("unet", "none", "up_blocks.2")]
    [DataRow("unet", "int8", "output:up_blocks.2.resnets.1")]
    [DataRow("mmdit", "none", "")]
    [DataRow("mmdit", "int8", "blocks:1-4")]
    [DataRow("mmdit", "int8 for size", "")]
    public void Samples_are_those_of_the_undivided_engine_bit_for_bit(string name, string precision, string cut)
    {
        using var folder = new TempFolder();
        (string, string)[] metadata = [("Precision", precision.Split(' ')[0]), ("CalibrationData", precision == "none" ? "" : "random"), ("Cache", cut), ("OptimizeFor", precision.Contains("size", StringComparison.Ordinal) ? "size" : "")];
        Build(folder, name, "plain", metadata);
        var result = Build(folder, name, "hoisted", [.. metadata, ("Hoist", "true")]);
        Assert.IsGreaterThan(0.001, result.Report.Hoisted!.MacShare);
        var variant = result.Manifest.Variants.Single();
        CollectionAssert.AreEqual(HeadDependence.All.ToArray(), variant.Heads!.Select(h => h.DependsOn).Distinct().ToArray());
        Assert.HasCount(cut.Length == 0 ? 3 : 4, variant.Heads!);
        Assert.IsTrue(variant.Heads!.Where(h => h.DependsOn != HeadDependence.Prompt).All(h => h.OneThread));
        // The engine as it was optimised for this CPU, and the portable one.
        foreach (var features in (string[])[CpuFeatures.Current, "another CPU"])
        {
            using var plain = Load(folder["plain"], features);
            using var hoisted = Load(folder["hoisted"], features);
            Assert.AreEqual(features == CpuFeatures.Current, hoisted.Selection.Optimised, hoisted.Selection.ToString());
            CollectionAssert.AreEqual(plain.Inputs.Select(i => i.Name).ToArray(), hoisted.Inputs.Select(i => i.Name).ToArray());
            CacheSchedule?[] schedules = cut.Length == 0 ? [null] : [null, CacheSchedule.Every(2), CacheSchedule.Explicit(0, 3)];
            foreach (var schedule in schedules)
            {
                // The second prompt follows the first on the same buffers, then the first again; the number of steps changes the timesteps.
                foreach (var (prompt, steps) in ((int, int)[])[(s_prompts[0], 4), (s_prompts[1], 4), (s_prompts[0], 3), (s_prompts[0], 4)])
                    CollectionAssert.AreEqual(Sample(plain, name, schedule, prompt, steps), Sample(hoisted, name, schedule, prompt, steps), $"{schedule}, prompt {prompt}, {steps} steps, {features}");
            }
            var inputs = plain.Session.Inputs.ToDictionary(i => i.Name, RandomRuns.Fill);
            var output = plain.Outputs[0].Name;
            CollectionAssert.AreEqual(RandomRuns.Floats(plain.Run(inputs)[output]), RandomRuns.Floats(hoisted.Run(inputs)[output]), "run by hand");
        }
    }

    [TestMethod]
    public void Heads_share_the_one_data_file_and_take_their_weights_out_of_the_rest()
    {
        using var folder = new TempFolder();
        var plain = Build(folder, "mmdit", "plain", [("Precision", "none"), ("Cache", "blocks:1-4")]);
        var result = Build(folder, "mmdit", "hoisted", [("Precision", "none"), ("Cache", "blocks:1-4"), ("Hoist", "true")]);
        CollectionAssert.AreEqual(
            (string[])
            [
                "cpu/head.both.full.onnx", "cpu/head.both.full.optimised.onnx", "cpu/head.both.onnx", "cpu/head.both.optimised.onnx", "cpu/head.prompt.onnx", "cpu/head.prompt.optimised.onnx",
                "cpu/head.timestep.full.onnx", "cpu/head.timestep.full.optimised.onnx", "cpu/head.timestep.onnx", "cpu/head.timestep.optimised.onnx", "cpu/live.onnx", "cpu/live.optimised.onnx", "cpu/model.data", "cpu/model.onnx", "cpu/model.optimised.data", "cpu/model.optimised.onnx",
            ],
            result.Manifest.Variants.Single().Files.Select(f => f.Path).ToArray());
        long Bytes(BuildResult build, string file) => build.Manifest.Variants[0].Files.Single(f => f.Path == file).Bytes;
        Assert.IsInRange(0.98, 1.02, Bytes(result, "cpu/model.data") / (double)Bytes(plain, "cpu/model.data"), "no weight is stored twice");
        var rest = OnnxFile.Load(folder["hoisted/cpu/model.onnx"]).Graph;
        Assert.IsFalse(rest.Node.Any(n => n.Name.Contains("/norm1/linear/", StringComparison.Ordinal)), "adaLN is in a head");
        Assert.IsLessThan(OnnxFile.Load(folder["plain/cpu/live.onnx"]).Graph.Node.Count, OnnxFile.Load(folder["hoisted/cpu/live.onnx"]).Graph.Node.Count);
        StringAssert.Contains(HoistReport.Describe(result.Report.Hoisted!.Tensors), "by prompt and timestep", StringComparison.Ordinal);
    }

    [TestMethod]
    public void A_head_that_computes_something_else_is_found()
    {
        using var folder = new TempFolder();
        var path = folder["m.onnx"];
        var hoisted = HoistedModel.Of(TestModels.Reload(ConditionedModel.Create(), folder).Proto, ConditionedModel.Roles)!;
        var rest = hoisted.Rest(hoisted.Lowered);
        OnnxFile.Save(rest, path, folder["m.data"]);
        using var whole = ModelSession.Open(folder["model.onnx"], new SessionSettings { Threads = 1 });
        foreach (var (op, code) in ((string, string?)[])[("Sin", null), ("Tanh", "QSDK3080")])
        {
            foreach (var dependsOn in HeadDependence.All)
            {
                var head = hoisted.Head(new(dependsOn, false));
                foreach (var node in head.Graph.Node.Where(n => n.OpType == "Sin"))
                    node.OpType = op;
                OnnxFile.Save(head, folder[$"{dependsOn}.onnx"], folder[$"{dependsOn}.data"]);
            }
            using var divided = QuantizedModel.OpenWithHeads(path, HeadDependence.All.Select(d => (folder[$"{d}.onnx"], d, true)), new SessionSettings { Threads = 1 });
            void Check() => HoistCheck.Run(whole, divided, CalibrationInputs.RandomRow([.. whole.Inputs], "m"));
            if (code is null)
                Check();
            else
                Assert.AreEqual(code, Assert.ThrowsExactly<QuantSdkException>(Check).Code);
        }
    }

    [TestMethod]
    public void Nothing_to_hoist_is_said_and_builds_the_declared_files()
    {
        using var folder = new TempFolder();
        var log = new SilentLog();
        var result = Build(folder, "cnn", "engine", [("Precision", "none"), ("Hoist", "true")], log);
        CollectionAssert.Contains(log.Warnings.Select(w => w.Code).ToArray(), "QSDK3081");
        Assert.IsNull(result.Manifest.Variants.Single().Heads);
        Assert.AreEqual(6, result.Manifest.Variants.Single().Files.Count(f => f.Path.StartsWith("cpu/head.", StringComparison.Ordinal)));
        using var model = QuantizedModel.Load(folder["engine"]);
        Assert.HasCount(2, model.Run(model.Session.Inputs.ToDictionary(i => i.Name, RandomRuns.Fill)));
    }

    [TestMethod]
    public void Weights_alone_are_refused() => Assert.AreEqual("QSDK3082", Assert.ThrowsExactly<QuantSdkException>(() =>
    {
        using var folder = new TempFolder();
        Build(folder, "mmdit", "engine", [("Weights", "int8"), ("Activations", "float"), ("Hoist", "true")]);
    }).Code);

    [TestMethod]
    public void A_manifest_whose_heads_are_not_the_files_is_refused()
    {
        using var folder = new TempFolder();
        var manifest = Build(folder, "mmdit", "engine", [("Precision", "none"), ("Hoist", "true")]).Manifest;
        var variant = manifest.Variants.Single();
        var (prompt, timestep, both) = (variant.Heads![0], variant.Heads[1], variant.Heads[2]);
        foreach (var (heads, code) in ((HeadInfo[], string)[])
        [
            ([prompt, timestep, both], ""),
            ([prompt, timestep], "QSDK7010"),
            ([prompt, timestep, both with { Tensors = [.. both.Tensors.Skip(1)] }], "QSDK7010"),
            ([prompt, both, timestep], "QSDK7010"),
            ([prompt with { DependsOn = "weather" }, timestep, both], "QSDK7003"),
            ([prompt with { Tensors = [] }, timestep, both], "QSDK7003"),
            ([prompt with { Model = "cpu/other.onnx", Optimised = null }, timestep, both], "QSDK7003"),
            ([prompt with { Model = "../other.onnx" }, timestep, both], "QSDK7005"),
        ])
        {
            ManifestFile.Write(folder["engine/manifest.json"], manifest with { Variants = [variant with { Heads = heads }] });
            if (code.Length == 0)
                Load(folder["engine"], CpuFeatures.Current).Dispose();
            else
                Assert.AreEqual(code, Assert.ThrowsExactly<QuantSdkException>(() => Load(folder["engine"], CpuFeatures.Current)).Code, string.Join(' ', heads.Select(h => h.Model)));
        }
        ManifestFile.Write(folder["engine/manifest.json"], manifest);
        File.Delete(folder["engine/cpu/head.both.optimised.onnx"]);
        Assert.AreEqual("QSDK7006", Assert.ThrowsExactly<QuantSdkException>(() => Load(folder["engine"], CpuFeatures.Current)).Code);
    }

    private static QuantizedModel Load(string folder, string features) => QuantizedModel.Load(folder, new QuantizedModelOptions { Threads = 2, CpuFeatures = features });

    private static float[] Sample(QuantizedModel model, string name, CacheSchedule? schedule, int prompt, int steps)
    {
        var sampler = Sampler.FromConfig(name == "unet" ? Repository.Digits("scheduler/scheduler_config.json") : Repository.Mmdit("scheduler/scheduler_config.json"));
        var latents = TorchNoise.Rows([11, 12]).Normal([Rows, 1, 32, 32]);
        var conditioning = new Conditioning(Prompt(model, prompt), Prompt(model, 100 + prompt));
        return [.. new DiffusionPipeline(model, sampler) { Cache = schedule }.Run(latents, conditioning, steps, guidanceScale: 2).AsSpan<float>()];
    }

    private static Dictionary<string, ModelTensor> Prompt(QuantizedModel model, int seed) =>
        model.Inputs.Where(i => i.Name != model.Manifest.Roles!.Sample && i.Name != model.Manifest.Roles.Timestep).ToDictionary(i => i.Name, i =>
        {
            long[] shape = [Rows, .. i.Shape.Skip(1)];
            return ModelTensor.Create(TestModels.Random((int)shape.Aggregate(1L, (a, b) => a * b), seed), shape);
        });

    private static BuildResult Build(TempFolder folder, string name, string output, (string Name, string Value)[] metadata, IBuildLog? log = null)
    {
        var file = name switch { "unet" => Repository.Digits("unet.onnx"), "cnn" => Repository.Digits("digits_cnn.onnx"), _ => Repository.Mmdit("transformer.onnx") };
        return ModelBuilder.Build(new BuildRequest("m", file, folder.Path, folder[output], null, 2, metadata.ToDictionary(m => m.Name, m => m.Value), null), log ?? new SilentLog(), default);
    }
}
