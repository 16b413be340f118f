namespace QuantSdk.Runtime.Tests;

/// <summary>Folders with a variant for TensorRT before one for the CPU. No TensorRT was at hand: plans are their headers, machines are told.</summary>
[TestClass]
public sealed class TensorRtLoadTests
{
    private static readonly TensorRtInfo s_info = new("10.13.3.9", "9.0", "NVIDIA H100 80GB HBM3", "none", false, "tensorrt/model.plan", null, []);
    private static readonly QuantizedModelOptions s_good = new() { TensorRtPlatform = new FakeTensorRt() };

    [TestMethod]
    public void Each_variant_that_was_passed_over_is_said_in_one_line()
    {
        using var folder = Folder(s_info);
        var manifest = folder.Read();
        folder.Write(manifest with { Variants = [manifest.Variants[0], manifest.Variants[1] with { Target = "cuda" }, manifest.Variants[1]] });
        var lines = new List<string>();
        using var model = QuantizedModel.Load(folder.Path, new() { TensorRtPlatform = new FakeTensorRt(Library: "10.9.0"), CudaRefusal = () => "no CUDA" }, lines.Add);
        Assert.AreEqual("cpu", model.Target);
        Assert.StartsWith("tensorrt passed over: its plan was built by TensorRT 10.13.3, the library here is 10.9.0.", model.Selection.Reasons[0]);
        Assert.AreEqual("cuda passed over: no CUDA", model.Selection.Reasons[1]);
        Assert.HasCount(1, lines);
        Assert.Contains(model.Selection.Reasons[0], lines[0]);
        Assert.Contains(model.Selection.Reasons[1], lines[0]);
    }

    [TestMethod]
    public void Where_everything_fits_the_plan_is_taken()
    {
        using var folder = Folder(s_info);
        var manifest = folder.Read();
        var platform = new FakeTensorRt();
        var selection = VariantSelector.Select(manifest, "manifest.json", "1.29.0", "x64", v => new(PlanSupport.Refusal(v.TensorRt, platform, 0, out var note), note)).Selection;
        Assert.AreEqual(("tensorrt", "TensorrtExecutionProvider", "tensorrt/model.context.onnx"), (selection.Target, selection.Provider, selection.Model));
        Assert.AreEqual("plan of TensorRT 10.13.3 for compute capability 9.0", selection.Reasons.Single());
    }

    /// <summary>The machine promises TensorRT, and ONNX Runtime cannot open the plan: here because the provider is not there.</summary>
    [TestMethod]
    public void A_plan_that_onnx_runtime_cannot_open_falls_back_with_its_reason()
    {
        using var folder = Folder(s_info);
        using (var model = QuantizedModel.Load(folder.Path, s_good))
        {
            Assert.AreEqual("cpu", model.Target);
            Assert.StartsWith("tensorrt passed over: ONNX Runtime", model.Selection.Reasons[0]);
            Assert.Contains("model.context.onnx", model.Selection.Reasons[0]);
        }
        folder.Write(folder.Read() with { Variants = [folder.Read().Variants[0]] });
        Tensors.Refuses("QSDK7009", () => QuantizedModel.Load(folder.Path, s_good));
        Assert.Contains("no driver", Tensors.Refuses("QSDK7008", () => QuantizedModel.Load(folder.Path, new() { TensorRtPlatform = new FakeTensorRt(Gpu: null) })).Message);
    }

    [TestMethod]
    public void A_plan_is_looked_at_before_onnx_runtime_sees_it()
    {
        using var folder = Folder(s_info);
        Plan(folder, [1, 2, 3]);
        Assert.AreEqual(folder.File("tensorrt/model.plan"), Tensors.Refuses("QSDK7060", () => QuantizedModel.Load(folder.Path, s_good)).File);
        Plan(folder, Header(10, 9, 0, 34));
        var error = Tensors.Refuses("QSDK7061", () => QuantizedModel.Load(folder.Path, s_good));
        Assert.Contains("10.9.0.34", error.Message);
        Assert.Contains("10.13.3.9", error.Message);
        // Damage behind the header is found before the provider is asked.
        Plan(folder, [.. Header(10, 13, 3, 9), 7]);
        File.WriteAllBytes(folder.File("tensorrt/model.plan"), [.. Header(10, 13, 3, 9), 8]);
        Tensors.Refuses("QSDK7007", () => QuantizedModel.Load(folder.Path, s_good));
        // What is not chosen is not looked at.
        QuantizedModel.Load(folder.Path, new() { TensorRtPlatform = new FakeTensorRt(Gpu: null) }).Dispose();
    }

    [TestMethod]
    [DataRow("tensorrt/other.plan", "QSDK7003"), DataRow("../model.plan", "QSDK7003")]
    public void A_plan_that_the_manifest_does_not_list_is_refused(string plan, string code)
    {
        using var folder = Folder(s_info with { Plan = plan });
        Tensors.Refuses(code, () => QuantizedModel.Load(folder.Path, s_good));
    }

    [TestMethod]
    public void Options_of_the_provider_come_from_the_manifest_and_the_app()
    {
        IReadOnlyDictionary<string, string> Options(TensorRtInfo info, QuantizedModelOptions options) => TensorRtProvider.Of(info, "/models/unet/tensorrt", [], options).Options;
        Assert.IsEmpty(Options(s_info, s_good));
        CollectionAssert.AreEquivalent(
            new Dictionary<string, string>
            {
                ["trt_weight_stripped_engine_enable"] = "1", ["trt_onnx_model_folder_path"] = "/models/unet/tensorrt", ["trt_extra_plugin_lib_paths"] = "libmy.so;libyours.so",
                ["has_user_compute_stream"] = "1", ["user_compute_stream"] = "18446744073709551600", ["trt_context_memory_sharing_enable"] = "1",
            },
            Options(s_info with { Stripped = true, Plugins = ["libmy.so", "libyours.so"] }, s_good with { CudaStream = -16, TensorRtOptions = new Dictionary<string, string> { ["trt_context_memory_sharing_enable"] = "1" } }).ToDictionary());
        Assert.AreEqual(2, TensorRtProvider.Of(s_info, "", [], s_good with { CudaDevice = 2 }).Device);
    }

    [TestMethod]
    [DataRow("a/b.so"), DataRow(".."), DataRow(""), DataRow("a;b")]
    public void A_plugin_is_a_file_name(string plugin)
    {
        using var folder = Folder(s_info with { Plugins = [plugin] });
        Tensors.Refuses("QSDK7003", () => QuantizedModel.Load(folder.Path, s_good));
    }

    [TestMethod]
    public void Profiles_must_ascend()
    {
        using var folder = Folder(s_info with { Profiles = [new([new ShapeRange("image", [4, 1], [2, 1], [8, 1])])] });
        Tensors.Refuses("QSDK7003", () => QuantizedModel.Load(folder.Path));
    }

    [TestMethod]
    public void Shapes_outside_of_the_profile_are_refused_with_its_range()
    {
        TensorRtProfile[] profiles = [new([new ShapeRange("sample", [1, 4, 8, 8], [2, 4, 64, 64], [8, 4, 64, 64])]), new([new ShapeRange("sample", [16, 4, 64, 64], [16, 4, 64, 64], [16, 4, 64, 64])])];
        void Check(params long[] shape) => TensorRtShapes.Check(profiles, new Dictionary<string, long[]> { ["sample"] = shape, ["timestep"] = [1] }, "model.onnx");
        Check(1, 4, 8, 8);
        Check(8, 4, 64, 64);
        Assert.Contains("[1,4,8,8] to [8,4,64,64] and is fastest at [2,4,64,64]", Tensors.Refuses("QSDK7062", () => Check(9, 4, 64, 64)).Message);
        Tensors.Refuses("QSDK7062", () => Check(8, 4, 64));
        Tensors.Refuses("QSDK7062", () => Check(1, 4, 7, 8));
        Assert.Contains("Profile 1 would take it", Tensors.Refuses("QSDK7062", () => Check(16, 4, 64, 64)).Message);
        TensorRtShapes.Check([], new Dictionary<string, long[]> { ["sample"] = [99] }, "model.onnx");
    }

    [TestMethod]
    public void A_completed_plan_of_another_build_is_deleted()
    {
        using var folder = Folder(s_info with { Stripped = true, Plan = "tensorrt/model.stripped.engine" });
        File.WriteAllBytes(folder.File("tensorrt/model.stripped.engine"), Header(10, 13, 3, 9));
        folder.Write(folder.Read() is var manifest
            ? manifest with { Variants = [manifest.Variants[0] with { Files = [.. manifest.Variants[0].Files, folder.Describe("tensorrt/model.stripped.engine")] }, manifest.Variants[1]] } : null!);
        var completed = folder.File("tensorrt/model.engine");
        var files = folder.Read().Variants[0].Files;
        var stripped = folder.File("tensorrt/model.stripped.engine");

        File.WriteAllText(completed, "of unknown origin");
        var plan = RefittedPlan.Of(stripped, files);
        Assert.IsFalse(File.Exists(completed));
        File.WriteAllText(completed, "this build's");
        plan.Keep();
        RefittedPlan.Of(stripped, files);
        Assert.IsTrue(File.Exists(completed));
        RefittedPlan.Of(stripped, [.. files.Select((file, i) => i == 0 ? file with { Hash = "ff" } : file)]);
        Assert.IsFalse(File.Exists(completed));
        // And that is what a load does.
        File.Delete(completed + ".of");
        File.WriteAllText(completed, "of unknown origin");
        QuantizedModel.Load(folder.Path, s_good).Dispose();
        Assert.IsFalse(File.Exists(completed));
    }

    private static byte[] Header(params byte[] version) => [(byte)'f', (byte)'t', (byte)'r', (byte)'t', .. new byte[20], .. version];

    private static ModelFolder Folder(TensorRtInfo info)
    {
        var folder = ModelFolder.Small();
        Directory.CreateDirectory(folder.File("tensorrt"));
        File.Copy(folder.File("cpu/model.onnx"), folder.File("tensorrt/model.context.onnx"));
        File.WriteAllBytes(folder.File("tensorrt/model.plan"), Header(10, 13, 3, 9));
        var manifest = folder.Read();
        folder.Write(manifest with { Variants = [new("tensorrt", "tensorrt/model.context.onnx", null, [], [folder.Describe("tensorrt/model.context.onnx"), folder.Describe("tensorrt/model.plan")], TensorRt: info), manifest.Variants[0]] });
        return folder;
    }

    private static void Plan(ModelFolder folder, byte[] bytes)
    {
        File.WriteAllBytes(folder.File("tensorrt/model.plan"), bytes);
        var manifest = folder.Read();
        folder.Write(manifest with { Variants = [manifest.Variants[0] with { Files = [folder.Describe("tensorrt/model.context.onnx"), folder.Describe("tensorrt/model.plan")] }, .. manifest.Variants.Skip(1)] });
    }
}
