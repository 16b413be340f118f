using Microsoft.ML.OnnxRuntime;

namespace QuantSdk.Runtime.Tests;

[TestClass]
public sealed class LoadTests
{
    [TestMethod]
    public void A_missing_folder_says_why_and_what_there_is()
    {
        using var folder = ModelFolder.Small();
        var error = Tensors.Refuses("QSDK7001", () => QuantizedModel.Load(Path.Combine(folder.Root, "vae")));
        Assert.Contains("QuantSdkEnabled=false", error.Message);
        Assert.Contains(": model.", error.Message);
        Directory.CreateDirectory(Path.Combine(folder.Root, "vae"));
        Assert.Contains(": model.", Tensors.Refuses("QSDK7002", () => QuantizedModel.Load(Path.Combine(folder.Root, "vae"))).Message);
    }

    [TestMethod]
    public void A_relative_folder_starts_at_the_application() =>
        Assert.AreEqual(Path.Combine(AppContext.BaseDirectory, "models", "nowhere"), Tensors.Refuses("QSDK7001", () => QuantizedModel.Load("models/nowhere")).File);

    [TestMethod]
    public void The_log_says_which_file_was_chosen_and_why()
    {
        using var folder = ModelFolder.Small();
        var lines = new List<string>();
        using var model = QuantizedModel.Load(folder.Path, log: lines.Add);
        Assert.HasCount(1, lines);
        Assert.Contains("cpu/model.onnx", lines[0]);
        Assert.Contains("CPUExecutionProvider", lines[0]);
        Assert.Contains("no optimised one", lines[0]);
        Assert.AreEqual("cpu", model.Target);
        CollectionAssert.AreEqual(new[] { "image" }, model.Inputs.Select(input => input.Name).ToArray());
    }

    [TestMethod]
    [DataRow("cpu/model.onnx")]
    [DataRow("cpu/model.data")]
    public void A_changed_byte_is_found(string file)
    {
        using var folder = ModelFolder.Small();
        File.WriteAllBytes(folder.File("cpu/model.data"), new byte[9 << 20]); // three leaves
        folder.Change(variant => variant with { Files = [folder.Describe("cpu/model.onnx"), folder.Describe("cpu/model.data")] });
        QuantizedModel.Load(folder.Path).Dispose();
        using (var stream = File.OpenWrite(folder.File(file)))
        {
            stream.Position = stream.Length - 1000;
            stream.WriteByte(0xA5);
        }
        Assert.AreEqual(folder.File(file), Tensors.Refuses("QSDK7007", () => QuantizedModel.Load(folder.Path)).File);
    }

    [TestMethod]
    public void Without_verification_only_the_size_is_looked_at()
    {
        using var folder = ModelFolder.Small();
        folder.Change(variant => variant with { Files = [.. variant.Files.Select(file => file with { Hash = new string('0', 64) })] });
        Tensors.Refuses("QSDK7007", () => QuantizedModel.Load(folder.Path));
        QuantizedModel.Load(folder.Path, new QuantizedModelOptions { VerifyHashes = false }).Dispose();
        File.AppendAllText(folder.File("cpu/model.data"), "x");
        Tensors.Refuses("QSDK7006", () => QuantizedModel.Load(folder.Path, new QuantizedModelOptions { VerifyHashes = false }));
        File.Delete(folder.File("cpu/model.data"));
        Tensors.Refuses("QSDK7006", () => QuantizedModel.Load(folder.Path));
    }

    [TestMethod]
    public void A_file_that_onnx_runtime_refuses_is_a_coded_error()
    {
        using var folder = ModelFolder.Small();
        File.WriteAllText(folder.File("cpu/model.onnx"), "this is no model");
        folder.Change(variant => variant with { Files = [folder.Describe("cpu/model.onnx"), folder.Describe("cpu/model.data")] });
        Assert.AreEqual(folder.File("cpu/model.onnx"), Tensors.Refuses("QSDK7009", () => QuantizedModel.Load(folder.Path)).File);
    }

    [TestMethod]
    public void Variants_for_other_targets_are_passed_over_with_a_reason()
    {
        using var folder = ModelFolder.Small();
        var manifest = folder.Read();
        folder.Write(manifest with { Variants = [manifest.Variants[0] with { Target = "tensorrt" }, manifest.Variants[0]] });
        using (var model = QuantizedModel.Load(folder.Path))
            Assert.Contains("tensorrt passed over", model.Selection.Reasons[0]);
        folder.Change(variant => variant with { Target = "tensorrt" });
        Assert.Contains("tensorrt passed over", Tensors.Refuses("QSDK7008", () => QuantizedModel.Load(folder.Path)).Message);
    }

    [TestMethod]
    public void A_variant_for_cuda_runs_where_cuda_does_and_the_next_one_elsewhere()
    {
        using var folder = ModelFolder.Small();
        var manifest = folder.Read();
        manifest = manifest with { Variants = [manifest.Variants[0] with { Target = "cuda", Optimised = new("cpu/model.onnx", "0", "none") }, manifest.Variants[0]] };
        var here = Select(() => null);
        Assert.AreEqual(("cuda", "CUDAExecutionProvider", "cpu/model.onnx", false), (here.Target, here.Provider, here.Model, here.Optimised));
        var elsewhere = Select(() => "no driver");
        Assert.AreEqual("cpu", elsewhere.Target);
        Assert.AreEqual("cuda passed over: no driver", elsewhere.Reasons[0]);

        folder.Write(manifest);
        using var model = QuantizedModel.Load(folder.Path);
        if (model.Target != "cuda")
            Assert.StartsWith("cuda passed over: ", model.Selection.Reasons[0]);

        ModelSelection Select(Func<string?> refusal) => VariantSelector.Select(manifest, "manifest.json", OrtEnv.Instance().GetVersionString(), CpuFeatures.Current, _ => new(refusal(), "")).Selection;
    }

    [TestMethod]
    public void The_optimised_model_is_taken_only_where_version_and_cpu_agree()
    {
        using var folder = ModelFolder.Unet();
        ModelSession.Open(folder.File("cpu/model.onnx"), new SessionSettings
        {
            OptimisedModelPath = folder.File("cpu/model.optimised.onnx"),
            Entries = new Dictionary<string, string>
            {
                ["session.optimized_model_external_initializers_file_name"] = "model.optimised.data",
                ["session.optimized_model_external_initializers_min_size_in_bytes"] = "1024",
                ["session.save_external_prepacked_constant_initializers"] = "1",
            },
        }).Dispose();
        var optimised = new OptimisedModel("cpu/model.optimised.onnx", OrtEnv.Instance().GetVersionString(), CpuFeatures.Current);
        folder.Change(variant => variant with
        {
            Optimised = optimised,
            Files = [.. variant.Files, folder.Describe("cpu/model.optimised.onnx"), folder.Describe("cpu/model.optimised.data")],
        });
        using var here = QuantizedModel.Load(folder.Path);
        Assert.IsTrue(here.Selection.Optimised);
        Assert.AreEqual("cpu/model.optimised.onnx", here.Selection.Model);

        using var elsewhere = QuantizedModel.Load(folder.Path, new QuantizedModelOptions { CpuFeatures = "x64:avx2" });
        Assert.IsFalse(elsewhere.Selection.Optimised);
        Assert.Contains("x64:avx2", elsewhere.Selection.Reasons[0]);
        var inputs = ForwardTests.GoldenInputs(out var golden);
        Assert.IsLessThan(1e-4, Tensors.LargestDifference(here.Run(inputs)["noise_pred"].AsSpan<float>(), golden.AsSpan<float>()));
        Assert.IsLessThan(1e-4, Tensors.LargestDifference(elsewhere.Run(inputs)["noise_pred"].AsSpan<float>(), golden.AsSpan<float>()));

        folder.Change(variant => variant with { Optimised = optimised with { OnnxRuntime = "1.28.0" } });
        using var older = QuantizedModel.Load(folder.Path);
        Assert.IsFalse(older.Selection.Optimised);

        // What is not needed here need not be here.
        folder.Change(variant => variant with { Optimised = optimised });
        File.Delete(folder.File("cpu/model.onnx"));
        File.Delete(folder.File("cpu/model.data"));
        QuantizedModel.Load(folder.Path).Dispose();
    }

    [TestMethod]
    public void Disabled_optimizers_reach_onnx_runtime()
    {
        using var folder = ModelFolder.Small();
        var with = Optimise(folder, "a.onnx", []);
        var without = Optimise(folder, "b.onnx", ["ConvActivationFusion"]);
        Assert.AreNotEqual(with, without);

        static long Optimise(ModelFolder folder, string name, string[] disabled)
        {
            ModelSession.Open(folder.File("cpu/model.onnx"), new SessionSettings { OptimisedModelPath = folder.File(name), DisabledOptimizers = disabled }).Dispose();
            return new FileInfo(folder.File(name)).Length;
        }
    }

    [TestMethod]
    public void A_manifest_that_promises_other_inputs_is_refused()
    {
        using var folder = ModelFolder.Small();
        var manifest = folder.Read();
        folder.Write(manifest with { Inputs = [.. manifest.Inputs.Skip(1)] });
        Assert.Contains("image: float", Tensors.Refuses("QSDK7010", () => QuantizedModel.Load(folder.Path)).Message);
    }
}
