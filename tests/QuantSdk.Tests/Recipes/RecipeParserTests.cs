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
    [DataRow("Targets", "tensorrt", "QSDK1021", "tensorrt-onnx")]
    [DataRow("Presicion", "int8", "QSDK1022", "'Precision'")]
    public void A_bad_value_names_itself_and_what_is_allowed(string key, string value, string code, string named)
    {
        var error = Assert.ThrowsExactly<QuantSdkException>(() => RecipeParser.Parse("unet", new Dictionary<string, string> { [key] = value }));
        Assert.AreEqual(code, error.Code);
        StringAssert.Contains(error.Message, "unet");
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
