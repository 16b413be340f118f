using System.Xml.Linq;
using QuantSdk.Recipes;
using QuantSdk.Runtime;

namespace QuantSdk.Tests.Recipes;

[TestClass]
public sealed class RecipeParserTests
{
    [TestMethod]
    public void Every_default_is_written_out()
    {
        var recipe = RecipeParser.Parse("unet", new Dictionary<string, string>());
        Assert.AreEqual("int8", recipe.Precision);
        Assert.AreEqual("mse", recipe.Calibrator);
        CollectionAssert.AreEqual(new[] { "cpu" }, recipe.Targets.ToArray());
        foreach (var name in (string[])["precision", "calibrator", "percentile", "targets", "steps", "seed", "guidanceScale"])
            StringAssert.Contains(QuantSdkJson.Write(recipe), $"\"{name}\":");
    }

    [TestMethod]
    public void Values_are_read_whatever_their_case()
    {
        var recipe = RecipeParser.Parse("unet", new Dictionary<string, string> { ["precision"] = "INT8", ["Targets"] = "cpu; tensorrt-onnx", ["Scheduler"] = "s.json", ["Steps"] = "7", ["ExcludeModules"] = "a; b*" });
        Assert.AreEqual(7, recipe.Steps);
        CollectionAssert.AreEqual(new[] { "cpu", "tensorrt-onnx" }, recipe.Targets.ToArray());
        CollectionAssert.AreEqual(new[] { "a", "b*" }, recipe.ExcludeModules.ToArray());
    }

    [TestMethod]
    [DataRow("Precision", "int9", "QSDK1020", "int8")]
    [DataRow("Calibrator", "mze", "QSDK1020", "mse")]
    [DataRow("Percentile", "0.99", "QSDK1020", "50")]
    [DataRow("Percentile", "NaN", "QSDK1020", "50")]
    [DataRow("Seed", "1.5", "QSDK1020", "whole")]
    [DataRow("Targets", "vulkan", "QSDK1020", "tensorrt-onnx")]
    [DataRow("Level", "3.5", "QSDK1020", "2.5")]
    [DataRow("Level", "4", "QSDK1020", "fp8")]
    [DataRow("Steps", "20", "QSDK1020", "Scheduler")]
    [DataRow("Cache", "lives:up_blocks.2", "QSDK3060", "cached:PATTERN")]
    [DataRow("CacheSpeedup", "2", "QSDK1020", "auto")]
    [DataRow("ScheduleRows", "8", "QSDK1020", "Scheduler")]
    [DataRow("ScheduleRows", "1.5", "QSDK1020", "whole")]
    [DataRow("Targets", "cuda", "QSDK1021", "tensorrt-onnx")]
    [DataRow("Presicion", "int8", "QSDK1022", "'Precision'")]
    public void A_bad_value_names_itself_and_what_is_allowed(string key, string value, string code, string named)
    {
        var error = Assert.ThrowsExactly<QuantSdkException>(() => RecipeParser.Parse("unet", new Dictionary<string, string> { [key] = value }));
        Assert.AreEqual(code, error.Code);
        StringAssert.Contains(error.Message, "unet");
        StringAssert.Contains(error.Message, named);
    }

    [TestMethod]
    public void Targets_are_in_the_order_of_the_runtime_and_auto_is_what_the_machine_has()
    {
        Assert.AreEqual("tensorrt,cpu", Targets(null, "cpu", "tensorrt"));
        Assert.AreEqual("tensorrt,cpu,tensorrt-onnx", Targets("tensorrt-onnx; AUTO", "tensorrt", "cpu"));
        Assert.AreEqual("cpu", Targets("cpu", "tensorrt", "cpu"));
        Assert.AreEqual("tensorrt", Targets("TensorRT"));
        // Nobody asked for an engine that auto has chosen: without it the build goes on.
        Assert.AreEqual("fallback", RecipeParser.Parse("unet", new Dictionary<string, string>(), "tensorrt", "cpu").OnEngineFailure);
        Assert.AreEqual("error", RecipeParser.Parse("unet", new Dictionary<string, string> { ["Targets"] = "tensorrt;cpu" }, "tensorrt", "cpu").OnEngineFailure);

        static string Targets(string? text, params string[] auto) =>
            string.Join(',', RecipeParser.Parse("unet", text is null ? new Dictionary<string, string>() : new Dictionary<string, string> { ["Targets"] = text }, auto).Targets);
    }

    [TestMethod]
    public void An_engine_of_TensorRT_has_options_and_half_precision_and_others_do_not()
    {
        var given = new Dictionary<string, string>
        {
            ["Targets"] = "tensorrt", ["MinShapes"] = "x:1x4;x:1x8", ["OptShapes"] = "x:2x4;x:2x8", ["MaxShapes"] = "x:4x4;x:4x8", ["Workspace"] = "4096", ["HardwareCompatibility"] = "AMPERE+",
            ["TrtExecArguments"] = "--maxAuxStreams=0  --tacticSources=\"-CUDNN, +CUBLAS\"", ["Plugins"] = "a.so;b.so", ["StripWeights"] = "true",
        };
        var recipe = RecipeParser.Parse("unet", given);
        Assert.AreEqual("fp16", recipe.HighPrecision);
        var options = recipe.TensorRt!;
        CollectionAssert.AreEqual(new[] { "x:2x4", "x:2x8" }, options.OptShapes.ToArray());
        CollectionAssert.AreEqual(new[] { "--maxAuxStreams=0", "--tacticSources=-CUDNN, +CUBLAS" }, options.TrtExecArguments.ToArray());
        CollectionAssert.AreEqual(new[] { "a.so", "b.so" }, options.Plugins.ToArray());
        Assert.AreEqual((4096, "ampere+", true, true), (options.Workspace, options.HardwareCompatibility, options.StripWeights, options.StronglyTyped));
        var cpu = RecipeParser.Parse("unet", new Dictionary<string, string>());
        Assert.AreEqual(("fp32", null), (cpu.HighPrecision, cpu.TensorRt));
        // What another machine reads is no error where auto is the cpu.
        Assert.IsNull(RecipeParser.Parse("unet", new Dictionary<string, string> { ["Workspace"] = "64", ["HighPrecision"] = "bf16" }).TensorRt);
        Assert.AreEqual("bf16", RecipeParser.Parse("unet", new Dictionary<string, string> { ["Workspace"] = "64", ["HighPrecision"] = "bf16" }, "tensorrt", "cpu").HighPrecision);
    }

    [TestMethod]
    [DataRow("cpu", "Workspace", "64", "Workspace is read by engines of TensorRT alone")]
    [DataRow("cpu", "HighPrecision", "fp16", "HighPrecision=fp16 is for engines of TensorRT")]
    [DataRow("tensorrt-onnx", "Workspace", "64", "Targets is tensorrt-onnx")]
    [DataRow("tensorrt", "Workspace", "0", "from 1 to")]
    [DataRow("tensorrt", "BuilderOptimizationLevel", "6", "from 0 to 5")]
    [DataRow("tensorrt", "HardwareCompatibility", "turing", "ampere+")]
    [DataRow("tensorrt", "MinShapes", "x:1", "without OptShapes and MaxShapes")]
    [DataRow("tensorrt", "MinShapes,Shapes", "x:1", "Remove Shapes")]
    [DataRow("tensorrt", "MinShapes,OptShapes", "x:1", "without MaxShapes")]
    [DataRow("tensorrt", "TrtExecArguments", "--a=\"b", "not closed")]
    public void A_wish_that_no_engine_can_meet_is_refused(string targets, string keys, string value, string named)
    {
        var metadata = keys.Split(',').ToDictionary(k => k, _ => value);
        metadata["Targets"] = targets;
        var error = Assert.ThrowsExactly<QuantSdkException>(() => RecipeParser.Parse("unet", metadata));
        Assert.AreEqual("QSDK1020", error.Code);
        StringAssert.Contains(error.Message, named);
    }

    [TestMethod]
    public void The_build_and_the_tool_know_the_same_names_and_every_one_makes_its_model_stale()
    {
        var build = Path.Combine(Repository.Root, "build");
        var defined = XDocument.Load(Path.Combine(build, "QuantSdk.props")).Descendants("QuantizedModel").Elements().Select(e => e.Name.LocalName).ToArray();
        var hashed = XDocument.Load(Path.Combine(build, "QuantSdk.Produce.targets")).Descendants("QuantSdkOptions").Single().Value.Split('|').Where(w => w.StartsWith("%(", StringComparison.Ordinal)).Select(w => w[2..^1]).ToArray();

        // The Name is in the path of the stamp.
        CollectionAssert.AreEquivalent(defined.Except(["Name"]).ToArray(), hashed);
        Assert.AreEqual("", string.Join(' ', RecipeParser.Known.Except(defined)));
        foreach (var name in defined)
            Assert.AreNotEqual("QSDK1022", CodeOf(name), name);
    }

    private static string? CodeOf(string name)
    {
        try
        {
            RecipeParser.Parse("unet", new Dictionary<string, string> { [name] = "1" });
            return null;
        }
        catch (QuantSdkException e)
        {
            return e.Code;
        }
    }
}
