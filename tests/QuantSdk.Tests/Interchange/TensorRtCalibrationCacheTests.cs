using QuantSdk.Calibration;
using QuantSdk.Engines;
using QuantSdk.Interchange;
using QuantSdk.Runtime;

namespace QuantSdk.Tests.Interchange;

[TestClass]
public sealed class TensorRtCalibrationCacheTests
{
    /// <summary>From the description of TensorRT's sampleINT8, with names that hold colons and blanks added.</summary>
    private const string Text = "TRT-7000-EntropyCalibration2\ndata: 3c008912\nconv1:0: 3c88edfc\n(Unnamed Layer* 5) [Scale]_output: 3f800000\nprob: 0\n";

    [TestMethod]
    public void A_cache_is_read_and_written_bit_for_bit()
    {
        var cache = TensorRtCalibrationCache.Parse(Text, "file");
        Assert.AreEqual("TRT-7000-EntropyCalibration2", cache.Header);
        CollectionAssert.AreEqual(new[] { "data", "conv1:0", "(Unnamed Layer* 5) [Scale]_output", "prob" }, cache.Scales.Select(s => s.Key).ToArray());
        // 3c008912: exponent 120 − 127, fraction 0x008912 of 2^23.
        Assert.AreEqual((1 + 0x8912 / (double)(1 << 23)) / 128, cache.Scales[0].Value);
        Assert.AreEqual(1f, cache.Scales[2].Value);
        Assert.AreEqual(Text.Replace(": 0\n", ": 00000000\n", StringComparison.Ordinal), cache.ToString());
        Assert.AreEqual(cache.ToString(), TensorRtCalibrationCache.Parse(Text.Replace("\n", "\r\n", StringComparison.Ordinal), "file").ToString());
        var random = new Random(3);
        var many = new TensorRtCalibrationCache("TRT-8601-EntropyCalibration2", [.. Enumerable.Range(0, 500).Select(i => KeyValuePair.Create($"t:{i}", BitConverter.Int32BitsToSingle(random.Next(0x7F80_0000))))]);
        CollectionAssert.AreEqual(many.Scales.ToArray(), TensorRtCalibrationCache.Parse(many.ToString(), "file").Scales.ToArray());
    }

    [TestMethod]
    [DataRow("data: 3c008912\n", "line 1", DisplayName = "no first line")]
    [DataRow("", "line 1", DisplayName = "empty")]
    [DataRow("TRT-1\nhelp\n", "line 2", DisplayName = "no colon")]
    [DataRow("TRT-1\na: 3f800000\nb: 3f80000g\n", "line 3", DisplayName = "no hex")]
    [DataRow("TRT-1\na: 13f800000\n", "line 2", DisplayName = "nine digits")]
    [DataRow("TRT-1\na:\n", "line 2", DisplayName = "no digits")]
    [DataRow("TRT-1\n: 3f800000\n", "line 2", DisplayName = "no name")]
    [DataRow("TRT-1\na: 7fc00000\n", "line 2", DisplayName = "NaN")]
    [DataRow("TRT-1\na: 7f800000\n", "line 2", DisplayName = "infinity")]
    [DataRow("TRT-1\na: bf800000\n", "line 2", DisplayName = "negative")]
    [DataRow("TRT-1\na: 3f800000\na: 3f800000\n", "'a'", DisplayName = "twice")]
    public void A_malformed_line_is_named(string text, string named)
    {
        var error = Assert.ThrowsExactly<QuantSdkException>(() => TensorRtCalibrationCache.Parse(text, "my.cache"));
        Assert.AreEqual("QSDK1041", error.Code);
        StringAssert.Contains(error.Message, "my.cache");
        StringAssert.Contains(error.Message, named);
    }

    [TestMethod]
    public void A_cache_written_by_calibrating_builds_the_same_symmetric_engine()
    {
        using var folder = new TempFolder();
        var metadata = new Dictionary<string, string> { ["CalibrationData"] = "digits_calib.npz", ["Targets"] = "tensorrt-onnx" };
        var request = new BuildRequest("cnn", Repository.Digits("digits_cnn.onnx"), Repository.Digits(""), folder["observed"], folder["m.report.json"], 2, metadata, null);
        ModelBuilder.Build(request, new SilentLog(), default);
        var table = QuantSdkJson.Read<CalibrationTable>(File.ReadAllText(folder["m.calibration.json"]))!;
        File.WriteAllText(folder["cnn.cache"], TensorRtCalibrationCache.From(table, 8601).ToString());

        metadata["CalibrationData"] = folder["cnn.cache"];
        var log = new SilentLog();
        var unjudged = ModelBuilder.Build(request with { Output = folder["cached"] }, log, default);
        CollectionAssert.AreEqual(new[] { "QSDK2006" }, log.Warnings.Select(w => w.Code).ToArray());
        Assert.IsEmpty(unjudged.Manifest.Quality);
        var cached = QuantSdkJson.Read<CalibrationTable>(File.ReadAllText(folder["m.calibration.json"]))!;
        foreach (var tensor in table.Tensors)
        {
            var symmetric = cached[tensor.Name];
            Assert.AreEqual(tensor.Amax, symmetric.Amax, tensor.Amax * 1e-6f);
            Assert.AreEqual(-symmetric.Amax, symmetric.Low);
            Assert.AreEqual(symmetric.Amax, symmetric.High);
            Assert.AreEqual(tensor.ElementsPerRow, symmetric.ElementsPerRow, "so that costs are the same");
        }
        metadata["ValidationData"] = "digits_calib.npz";
        metadata["MinSqnr"] = "30";
        Assert.IsGreaterThan(30, ModelBuilder.Build(request with { Output = folder["judged"] }, new SilentLog(), default).Manifest.Quality.Min(q => q.SqnrDb));
    }

    [TestMethod]
    public void Tensors_without_a_scale_and_gates_without_rows_are_named()
    {
        using var folder = new TempFolder();
        File.WriteAllText(folder["cnn.cache"], Text);
        var metadata = new Dictionary<string, string> { ["CalibrationData"] = folder["cnn.cache"] };
        var request = new BuildRequest("cnn", Repository.Digits("digits_cnn.onnx"), Repository.Digits(""), folder["engine"], null, 2, metadata, null);
        var error = Assert.ThrowsExactly<QuantSdkException>(() => ModelBuilder.Build(request, new SilentLog(), default));
        Assert.AreEqual("QSDK1042", error.Code);
        StringAssert.Contains(error.Message, $"'{error.Node}'");
        metadata["MinSqnr"] = "10";
        Assert.AreEqual("QSDK2001", Assert.ThrowsExactly<QuantSdkException>(() => ModelBuilder.Build(request, new SilentLog(), default)).Code);
    }
}
