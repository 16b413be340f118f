using QuantSdk.Engines;
using QuantSdk.Runtime;

namespace QuantSdk.Tests.Engines;

/// <summary>Whole builds in the formats that are not integers.</summary>
[TestClass]
public sealed class FormatBuildTests
{
    [TestMethod]
    [DataRow("fp8", 26)]
    [DataRow("mxfp8", 26)]
    [DataRow("nvfp4", 20)]
    public void TensorRTs_formats_are_built_and_their_quality_is_measured(string precision, double leastSqnr)
    {
        using var folder = new TempFolder();
        var log = new SilentLog();
        var result = Build(folder, precision, "tensorrt-onnx", log);
        Assert.IsEmpty(log.Warnings);
        Assert.IsGreaterThan(leastSqnr, result.Manifest.Quality.Min(q => q.SqnrDb));
        Assert.IsLessThan(0.31, result.Report.EngineBytes / (double)result.Report.FloatBytes);
        Assert.IsTrue(result.Plan!.Layers.All(l => l.Weight.Format == (l.Op == "Conv" ? "fp8" : precision)));
    }

    [TestMethod]
    public void Nf4_is_built_for_the_cpu_and_loads_as_an_app_loads_it()
    {
        using var folder = new TempFolder();
        var log = new SilentLog();
        var result = Build(folder, "nf4", "cpu", log);
        Assert.IsEmpty(log.Warnings);
        Assert.IsGreaterThan(20, result.Manifest.Quality.Min(q => q.SqnrDb));
        CollectionAssert.AreEquivalent(result.Plan!.Layers.Where(l => l.Op != "Conv").Select(l => l.Node).ToArray(), result.Plan.Layers.Select(l => l.Node).Except(result.Report.NotFused).ToArray());
    }

    [TestMethod]
    public void A_format_that_the_target_does_not_run_is_refused_before_anything_is_read()
    {
        using var folder = new TempFolder();
        Assert.AreEqual("QSDK3030", Assert.ThrowsExactly<QuantSdkException>(() => Build(folder, "fp8", "cpu;tensorrt-onnx", new SilentLog())).Code);
    }

    private static BuildResult Build(TempFolder folder, string precision, string targets, SilentLog log)
    {
        var metadata = new Dictionary<string, string> { ["Precision"] = precision, ["Targets"] = targets, ["CalibrationData"] = Repository.Digits("digits_calib.npz") };
        return ModelBuilder.Build(ModelBuilderTests.Request(folder, "digits_cnn.onnx", metadata), log, default);
    }
}
