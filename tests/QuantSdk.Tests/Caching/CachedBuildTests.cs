using Microsoft.ML.OnnxRuntime;
using QuantSdk.Caching;
using QuantSdk.Calibration;
using QuantSdk.Engines;
using QuantSdk.Onnx;
using QuantSdk.Runtime;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Tests.Caching;

[TestClass]
public sealed class CachedBuildTests
{
    [TestMethod]
    [DataRow("unet", "up_blocks.2", "none")]
    [DataRow("unet", "output:up_blocks.2.resnets.1", "none")]
    [DataRow("mmdit", "blocks:1-4", "none")]
    [DataRow("mmdit", "blocks:1-4", "int8")]
    public void Full_and_live_engine_agree_and_share_one_data_file(string name, string cut, string precision)
    {
        using var folder = new TempFolder();
        var result = Build(folder, name, ("Cache", cut), ("Precision", precision), ("CalibrationData", precision == "none" ? "" : "random"));

        var variant = result.Manifest.Variants.Single();
        Assert.AreEqual(cut, result.Manifest.Cache!.Cut);
        CollectionAssert.AreEqual(
            (string[])["cpu/live.onnx", "cpu/live.optimised.onnx", "cpu/model.data", "cpu/model.onnx", "cpu/model.optimised.data", "cpu/model.optimised.onnx"], variant.Files.Select(f => f.Path).ToArray());
        foreach (var (full, live, optimised) in ((string, string, bool)[])[(variant.Model, variant.Cache!.Live, false), (variant.Optimised!.Model, variant.Cache.Optimised!.Model, true)])
        {
            // Every weight of the live part lies where the full model's lies.
            var own = Ranges(folder["engine/" + full]);
            var part = Ranges(folder["engine/" + live]);
            Assert.IsNotEmpty(part);
            Assert.IsTrue(part.All(own.Contains), $"{live} holds weights of its own");
            Assert.IsLessThan(own.Count, part.Count);
            var settings = new SessionSettings { Threads = 2, Optimisation = optimised ? GraphOptimizationLevel.ORT_DISABLE_ALL : GraphOptimizationLevel.ORT_ENABLE_ALL, DisabledOptimizers = optimised ? [] : variant.DisabledOptimizers };
            using var whole = ModelSession.Open(folder["engine/" + full], settings);
            using var rest = ModelSession.Open(folder["engine/" + live], settings);
            var inputs = whole.Inputs.ToDictionary(i => i.Name, Onnx.RandomRuns.Fill);
            var outputs = whole.Run(inputs);
            var again = rest.Run(rest.Inputs.ToDictionary(i => i.Name, i => outputs.GetValueOrDefault(i.Name) ?? inputs[i.Name]));
            CollectionAssert.AreEqual(result.Manifest.Outputs.Concat(variant.Cache.Tensors).Select(t => t.Name).ToArray(), whole.Outputs.Select(o => o.Name).ToArray());
            float[] a = Onnx.RandomRuns.Floats(outputs[whole.Outputs[0].Name]), b = Onnx.RandomRuns.Floats(again[whole.Outputs[0].Name]);
            if (name == "unet")
                CollectionAssert.AreEqual(a, b, "bit for bit");
            else
                Assert.IsLessThanOrEqualTo(precision == "none" ? 1e-5 : 0.01, Math.Sqrt(a.Zip(b, (x, y) => ((double)x - y) * ((double)x - y)).Sum() / a.Sum(x => (double)x * x)));
        }
        Assert.IsTrue(result.Report.Cache!.MacShare is > 0.02 and < 0.6, $"{result.Report.Cache.MacShare}");
    }

    [TestMethod]
    public void Forms_that_are_not_shipped_have_no_live_part_either()
    {
        using var folder = new TempFolder();
        var result = Build(folder, "mmdit", ("Cache", "blocks:1-4"), ("Precision", "none"), ("Portable", "false"), ("Targets", "cpu;tensorrt-onnx"));
        CollectionAssert.AreEqual(
            (string[])["cpu/live.optimised.onnx", "cpu/model.optimised.data", "cpu/model.optimised.onnx", "tensorrt/live.onnx", "tensorrt/model.data", "tensorrt/model.onnx"],
            result.Manifest.Variants.SelectMany(v => v.Files).Select(f => f.Path).ToArray());
        Assert.AreEqual("tensorrt/live.onnx", result.Manifest.Variants[1].Cache!.Live);
    }

    [TestMethod]
    [DataRow("Precision", "int8-weights", "QSDK3069")]
    [DataRow("TimestepInput", "", "QSDK3067")]
    public void What_cannot_be_cached_is_refused(string metadata, string value, string code)
    {
        using var folder = new TempFolder();
        (string, string)[] given = metadata == "Precision" ? [("Weights", "int8"), ("Activations", "float")] : [("Precision", "none")];
        var file = metadata == "TimestepInput" ? Repository.Digits("digits_cnn.onnx") : Repository.Mmdit("transformer.onnx");
        Assert.AreEqual(code, Assert.ThrowsExactly<QuantSdkException>(() => Build(folder, file, [.. given, ("Cache", "blocks:1-4")])).Code, value);
    }

    [TestMethod]
    public void A_live_part_that_computes_something_else_is_found()
    {
        using var folder = new TempFolder();
        var result = Build(folder, "mmdit", ("Cache", "blocks:1-4"), ("Precision", "none"), ("Prepacked", "false"));
        var live = OnnxFile.Load(folder["engine/cpu/live.onnx"]);
        var settings = new SessionSettings { Threads = 2 };
        using var whole = ModelSession.Open(folder["engine/cpu/model.onnx"], settings);
        var row = CalibrationInputs.RandomRow([.. whole.Inputs], "m");
        string[] cached = [.. result.Manifest.Variants[0].Cache!.Tensors.Select(t => t.Name)];
        Assert.IsLessThan(1e-5, LiveCheck.Run(whole, Open(), cached, row, quantised: false, "c"));
        // The sum with the residual becomes a difference.
        live.Graph.Node.First(n => n.OpType == "Add" && n.Input.Contains(cached[0])).OpType = "Sub";
        Assert.AreEqual("QSDK3068", Assert.ThrowsExactly<QuantSdkException>(() => LiveCheck.Run(whole, Open(), cached, row, quantised: false, "c")).Code);
        Assert.AreEqual("QSDK3068", Assert.ThrowsExactly<QuantSdkException>(() => LiveCheck.Run(whole, Open(), cached, row, quantised: true, "c")).Code);

        ModelSession Open()
        {
            var path = folder[$"{Guid.NewGuid():N}.onnx"];
            OnnxFile.Save(live.Proto, path, path + ".data");
            return ModelSession.Open(path, settings);
        }
    }

    [TestMethod]
    public void Weights_that_only_the_live_part_has_are_appended_and_equal_ones_are_found_under_other_names()
    {
        using var folder = new TempFolder();
        var shared = Onnx.TestModels.Random(1000, 1);
        OnnxFile.Save(Model("w", shared), folder["model.onnx"], folder["model.data"]);
        OnnxFile.Save(Model("v", shared, Onnx.TestModels.Random(1000, 2)), folder["live.onnx"], folder["live.data"]);
        var before = new FileInfo(folder["model.data"]).Length;
        var appended = SharedWeights.Join(folder["model.onnx"], folder["live.onnx"]);
        Assert.AreEqual(before + appended, new FileInfo(folder["model.data"]).Length);
        Assert.IsInRange(4000, 4096, appended);
        Assert.IsFalse(File.Exists(folder["live.data"]));
        var live = OnnxFile.Load(folder["live.onnx"]).Graph.Initializer;
        CollectionAssert.AreEqual(shared, live[0].ToFloats());
        CollectionAssert.AreEqual(Onnx.TestModels.Random(1000, 2), live[1].ToFloats());
        CollectionAssert.AreEqual(shared, OnnxFile.Load(folder["model.onnx"]).Graph.Initializer[0].ToFloats());

        static ModelProto Model(string name, params float[][] weights) => Onnx.TestModels.Create(
            [Onnx.TestModels.Input("x", DataType.Float, 1000)], ["y"], [.. weights.Select((w, i) => Tensors.Vector($"{name}{i}", w))], Nodes.Create("Add", "a", ["x", $"{name}0"], ["y"]));
    }

    private static HashSet<(string?, string?)> Ranges(string path)
    {
        using var stream = File.OpenRead(path);
        return [.. ModelProto.Parser.ParseFrom(stream).Graph.Initializer.Where(t => t.DataLocation == DataLocation.External)
            .Select(t => (t.ExternalData.First(e => e.Key == "location").Value, t.ExternalData.FirstOrDefault(e => e.Key == "offset")?.Value))];
    }

    private static BuildResult Build(TempFolder folder, string model, params (string Name, string Value)[] metadata)
    {
        var file = model switch { "unet" => Repository.Digits("unet.onnx"), "mmdit" => Repository.Mmdit("transformer.onnx"), _ => model };
        var request = new BuildRequest("m", file, folder.Path, folder["engine"], null, 2, metadata.ToDictionary(m => m.Name, m => m.Value), null);
        return ModelBuilder.Build(request, new SilentLog(), default);
    }
}
