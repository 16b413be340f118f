using QuantSdk.Planning;
using QuantSdk.Recipes;
using QuantSdk.Runtime;

namespace QuantSdk.Tests.Recipes;

[TestClass]
public sealed class TargetSupportTests
{
    [TestMethod]
    [DataRow("cpu", "int8", "int8")]
    [DataRow("cpu", "int8", "int8-dynamic")]
    [DataRow("cpu", "int4", "float")]
    [DataRow("cpu", "nf4", "float")]
    [DataRow("cpu", "float", "float")]
    [DataRow("tensorrt-onnx", "int8", "int8")]
    [DataRow("tensorrt-onnx", "fp8", "fp8")]
    [DataRow("tensorrt-onnx", "int4", "float")]
    [DataRow("tensorrt-onnx", "mxfp8", "mxfp8")]
    [DataRow("tensorrt-onnx", "nvfp4", "nvfp4")]
    [DataRow("cuda", "int4", "float")]
    [DataRow("sim", "int4", "nvfp4")]
    public void What_a_target_runs_passes(string target, string weights, string activations) => TargetSupport.Check(Recipe(target, weights, activations));

    [TestMethod]
    [DataRow("cpu", "fp8", "fp8", "runs on tensorrt")]
    [DataRow("cpu", "int4", "int8", "can be simulated")]
    [DataRow("cpu", "nvfp4", "nvfp4", "int8/int8-dynamic")]
    [DataRow("tensorrt-onnx", "fp8-e5m2", "fp8-e5m2", "no E5M2")]
    [DataRow("tensorrt-onnx", "int2", "float", "runs on cpu and cuda")]
    [DataRow("tensorrt-onnx", "nf4", "float", "runs on cpu and cuda")]
    [DataRow("tensorrt-onnx", "int8", "int8-dynamic", "DynamicQuantizeLinear")]
    [DataRow("tensorrt-onnx", "int4", "int8", "high precision")]
    [DataRow("cuda", "int8", "int8", "int8/float")]
    public void What_it_does_not_run_is_refused_with_what_is_possible(string target, string weights, string activations, string says)
    {
        var e = Assert.ThrowsExactly<QuantSdkException>(() => TargetSupport.Check(Recipe(target, weights, activations)));
        Assert.AreEqual("QSDK3030", e.Code);
        StringAssert.Contains(e.Message, says);
        StringAssert.StartsWith(e.Message, "model: " + target);
    }

    [TestMethod]
    [DataRow("tensorrt-onnx", "int4", 32, false, "64 or 128")]
    [DataRow("tensorrt-onnx", "int4", 128, true, "symmetric")]
    [DataRow("tensorrt-onnx", "mxfp8", 64, false, "blocks of 32")]
    [DataRow("tensorrt-onnx", "nvfp4", 32, false, "blocks of 16")]
    [DataRow("tensorrt-onnx", "fp8", 64, false, "output channel")]
    [DataRow("cpu", "nf4", 48, false, "powers of two")]
    [DataRow("cpu", "int8", 0, true, "has none")]
    public void Blocks_and_zero_points_that_do_not_exist_are_refused(string target, string weights, int block, bool zeroPoint, string says)
    {
        var activations = weights is "int4" or "nf4" ? "float" : weights;
        var e = Assert.ThrowsExactly<QuantSdkException>(() => TargetSupport.Check(Recipe(target, weights, activations) with { BlockSize = block, WeightZeroPoint = zeroPoint }));
        Assert.AreEqual("QSDK3030", e.Code);
        StringAssert.Contains(e.Message, says);
        TargetSupport.Check(Recipe(target, weights, activations));
    }

    [TestMethod]
    public void The_targets_of_a_recipe_are_all_checked() =>
        Assert.ThrowsExactly<QuantSdkException>(() => TargetSupport.Check(Recipe("tensorrt-onnx", "fp8", "fp8") with { Targets = ["tensorrt-onnx", "cpu"] }));

    [TestMethod]
    public void Every_precision_runs_somewhere()
    {
        foreach (var precision in Formats.OfPrecision)
        {
            var (weights, activations) = Formats.Of(precision);
            Assert.IsTrue(TargetSupport.Targets.Any(t => t != "sim" && TargetSupport.Runs(t, new FormatPair(weights, activations))), precision);
        }
    }

    [TestMethod]
    public void The_document_shows_the_table() =>
        StringAssert.Contains(File.ReadAllText(Path.Combine(Repository.Root, "docs", "formats.md")).ReplaceLineEndings("\n"), "\n" + TargetSupport.Table());

    [TestMethod]
    [DataRow("mxfp8", "mxfp8", "MatMul", 96, "mxfp8/mxfp8")]
    [DataRow("mxfp8", "mxfp8", "Gemm", 48, "fp8/fp8")]
    [DataRow("nvfp4", "nvfp4", "MatMul", 48, "nvfp4/nvfp4")]
    [DataRow("nvfp4", "nvfp4", "MatMul", 50, "fp8/fp8")]
    [DataRow("nvfp4", "nvfp4", "Conv", 64, "fp8/fp8")]
    [DataRow("nvfp4", "float", "Conv", 64, "nvfp4/float")]
    [DataRow("int4", "mxfp8", "Conv", 64, "int4/fp8")]
    [DataRow("int8", "int8-dynamic", "Conv", 64, "int8/int8")]
    [DataRow("int8", "int8-dynamic", "MatMul", 64, "int8/int8-dynamic")]
    [DataRow("int8", "int8", "ConvTranspose", 3, "int8/int8")]
    public void A_layer_that_blocks_do_not_fit_gets_the_format_that_does(string weights, string activations, string op, int reduction, string expected) =>
        Assert.AreEqual(expected, LayerFormats.Of(new FormatPair(weights, activations), op, reduction).ToString());

    private static Recipe Recipe(string target, string weights, string activations) =>
        new() { Name = "model", Weights = weights, Activations = activations, Targets = [target] };
}
