using QuantSdk.Engines;
using QuantSdk.Runtime;

namespace QuantSdk.Tests.Engines;

/// <summary>Builds of the classifier with Precision=auto against builds of all its layers in int8.</summary>
[TestClass]
public sealed class AutoPrecisionBuildTests
{
    [TestMethod]
    public void MinSqnr_above_what_int8_reaches_is_reached_with_some_layers_in_float()
    {
        using var folder = new TempFolder();
        var all = Build(folder, ("Precision", "int8"));
        var reached = all.Manifest.Quality.Min(q => q.SqnrDb);
        var wanted = Math.Ceiling(reached) + 3;
        var auto = Build(folder, ("Precision", "auto"), ("MinSqnr", wanted.ToString(System.Globalization.CultureInfo.InvariantCulture)));
        Assert.IsGreaterThanOrEqualTo(wanted, auto.Manifest.Quality.Min(q => q.SqnrDb));
        Assert.IsGreaterThan(0, auto.Plan!.Layers.Count);
        Assert.IsLessThan(all.Plan!.Layers.Count, auto.Plan.Layers.Count);
        var kept = auto.Report.Kept.Where(k => k.Reason.StartsWith("kept in float by Precision=auto: ", StringComparison.Ordinal)).ToArray();
        Assert.AreEqual(all.Plan.Layers.Count, auto.Plan.Layers.Count + kept.Length);
        StringAssert.Contains(kept[0].Reason, $"{wanted} dB (MinSqnr)");
        Assert.IsNotNull(auto.Report.Sensitivity);
        Assert.IsLessThan(1, auto.Report.MacShare);
    }

    [TestMethod]
    public void MinSqnr_that_int8_reaches_quantises_everything()
    {
        using var folder = new TempFolder();
        var auto = Build(folder, ("Precision", "auto"), ("MinSqnr", "25"));
        Assert.IsFalse(auto.Report.Kept.Any(k => k.Reason.Contains("auto", StringComparison.Ordinal)));
        Assert.AreEqual(1, auto.Report.MacShare);
    }

    [TestMethod]
    public void MaxSize_is_met_with_less_error_than_all_layers_make()
    {
        using var folder = new TempFolder();
        var all = Build(folder, ("Precision", "int8"));
        var auto = Build(folder, ("Precision", "auto"), ("MaxSize", "0.25"));
        Assert.IsLessThanOrEqualTo(250_000, auto.Report.EngineBytes);
        Assert.IsGreaterThan(all.Report.EngineBytes, auto.Report.EngineBytes);
        Assert.IsGreaterThan(all.Manifest.Quality.Min(q => q.SqnrDb), auto.Manifest.Quality.Min(q => q.SqnrDb));
        StringAssert.Contains(auto.Report.Kept.First(k => k.Reason.Contains("auto", StringComparison.Ordinal)).Reason, "MaxSize is met without");
        Assert.AreEqual(auto.Report.EngineBytes, Directory.GetFiles(folder["engine"], "model.*", SearchOption.AllDirectories).Where(f => !f.Contains("optimised", StringComparison.Ordinal)).Sum(f => new FileInfo(f).Length), "nothing is left of earlier rounds");
    }

    [TestMethod]
    public void A_size_that_cannot_be_had_is_an_error_that_says_the_least()
    {
        using var folder = new TempFolder();
        var all = Build(folder, ("Precision", "int8"));
        var error = Assert.ThrowsExactly<QuantSdkException>(() => Build(folder, ("Precision", "auto"), ("MaxSize", "0.05")));
        Assert.AreEqual("QSDK5011", error.Code);
        StringAssert.Contains(error.Message, $"{all.Report.EngineBytes / 1e6:0.###} MB, the least");
        error = Assert.ThrowsExactly<QuantSdkException>(() => Build(folder, ("Precision", "auto"), ("MaxSize", "0.15"), ("MinSqnr", "60")));
        Assert.AreEqual("QSDK5011", error.Code);
        StringAssert.Contains(error.Message, "60 dB (MinSqnr)");
        Assert.AreEqual("QSDK5010", Assert.ThrowsExactly<QuantSdkException>(() => Build(folder, ("Precision", "int8"), ("MaxSize", "0.05"))).Code);
        Assert.AreEqual("QSDK5010", Assert.ThrowsExactly<QuantSdkException>(() => Build(folder, ("Precision", "none"), ("MaxSize", "0.3"))).Code);
    }

    private static BuildResult Build(TempFolder folder, params (string Key, string Value)[] metadata) => ModelBuilder.Build(
        new BuildRequest("digits_cnn", Repository.Digits("digits_cnn.onnx"), Repository.Digits(""), folder["engine"], null, 2,
            new Dictionary<string, string>(metadata.ToDictionary(m => m.Key, m => m.Value)) { ["CalibrationData"] = "digits_calib.npz", ["OptimizeFor"] = "size" }, null), new SilentLog(), default);
}
