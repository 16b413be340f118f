using Microsoft.ML.OnnxRuntime;
using QuantSdk.Numerics;
using QuantSdk.Onnx;
using QuantSdk.Rewriting;
using QuantSdk.Runtime;
using QuantSdk.Tests.Numerics;
using QuantSdk.Tests.Onnx;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Tests.Rewriting;

/// <summary>The graphs, run by ONNX Runtime, against our codecs bit for bit.</summary>
[TestClass]
public sealed class SimActivationsTests
{
    [TestMethod]
    [DataRow("fp8", 64)]
    [DataRow("fp8-e5m2", 64)]
    [DataRow("mxfp8", 32)]
    [DataRow("mxfp8", 96)]
    [DataRow("mxfp8", 50)]
    [DataRow("mxfp8", 7)]
    [DataRow("nvfp4", 16)]
    [DataRow("nvfp4", 64)]
    [DataRow("nvfp4", 50)]
    [DataRow("nvfp4", 1)]
    public void Graph_and_codec_agree_bit_for_bit(string format, int reduction)
    {
        foreach (var values in Awkward(reduction))
        {
            // Calibrated on part of it: some blocks exceed the range.
            var amax = values.Take(reduction * 4).Max(MathF.Abs);
            var rows = values.Length / reduction;
            WeightFormat codec = format == "nvfp4" ? new Nvfp4(Nvfp4.TensorScale(amax)) : WeightFormat.Of(format);
            var expected = format.StartsWith("fp8", StringComparison.Ordinal) ? Static(format, values, amax) : codec.Decode(codec.Encode(values, [rows, reduction], 0));
            foreach (var level in (GraphOptimizationLevel[])[GraphOptimizationLevel.ORT_DISABLE_ALL, GraphOptimizationLevel.ORT_ENABLE_ALL])
            {
                var actual = Run(SimActivations.Of(format, "x", reduction, amax), values, [2, rows / 2, reduction], level);
                for (var i = 0; i < values.Length; i++)
                    Assert.AreEqual(BitConverter.SingleToInt32Bits(expected[i]), BitConverter.SingleToInt32Bits(actual[i]), $"{level}, element {i}: {values[i]:g9} → {actual[i]:g9}, not {expected[i]:g9}");
            }
        }
    }

    [TestMethod]
    public void Dynamic_int8_is_one_asymmetric_grid_for_the_batch()
    {
        var values = WeightFormatTests.Gaussian(4 * 64, 4);
        var grid = Int8Grid.Asymmetric(Math.Min(0, values.Min()), Math.Max(0, values.Max()));
        var actual = Run(SimActivations.Of("int8-dynamic", "x", 64, 0), values, [2, 2, 64], GraphOptimizationLevel.ORT_ENABLE_ALL);
        for (var i = 0; i < values.Length; i++)
            Assert.AreEqual(values[i], actual[i], grid.Scale * 0.51f);
        Assert.IsLessThanOrEqualTo(256, actual.Distinct().Count());
    }

    private static float[] Static(string format, float[] values, float amax)
    {
        var element = format == "fp8" ? SmallFloat.E4M3 : SmallFloat.E5M2;
        var scale = Math.Max(amax / element.Max, Int8Weights.LeastScale);
        return Array.ConvertAll(values, v => element.Values[element.Encode(v / scale)] * scale);
    }

    /// <summary>Gaussian rows of all magnitudes, powers of two, exact multiples of the formats' limits, zeros, subnormals, outliers.</summary>
    private static IEnumerable<float[]> Awkward(int reduction)
    {
        var count = reduction * 64;
        yield return WeightFormatTests.Gaussian(count, 1);
        var magnitudes = WeightFormatTests.Gaussian(count, 2);
        for (var i = 0; i < count; i++)
            magnitudes[i] = MathF.ScaleB(magnitudes[i], i / reduction * 3 - 110);
        yield return magnitudes;
        var random = new Random(3);
        // Block maxima exactly at, just above and just below what a power of two times 448 or 6 reaches.
        var limits = Enumerable.Range(0, count).Select(_ => (random.Next(9) switch { 0 => 448f, 1 => MathF.BitIncrement(448), 2 => MathF.BitDecrement(448), 3 => 1, 4 => 6, 5 => 0, 6 => -1.75f, 7 => -0f, _ => 0.3f }) * MathF.ScaleB(1, random.Next(6) - 3)).ToArray();
        yield return limits;
        var outliers = WeightFormatTests.Gaussian(count, 5);
        for (var i = 0; i < count; i += 97)
            outliers[i] = i % 2 == 0 ? 1e4f : -3e7f;
        outliers.AsSpan(reduction * 8, reduction * 4).Clear();
        yield return outliers;
        var tiny = WeightFormatTests.Gaussian(count, 6);
        for (var i = 0; i < count; i++)
            tiny[i] = i % 3 == 0 ? float.Epsilon * random.Next(1 << 20) : tiny[i] * 1e-37f;
        tiny[0] = 1e-36f;
        yield return tiny;
        // Ties of E2M1 and E4M3 at scale 1.
        yield return [.. Enumerable.Range(0, count).Select(i => i % reduction == 0 ? 6f : (i % 49 - 24) / 4f)];
    }

    private static float[] Run(Fragment fragment, float[] values, long[] dims, GraphOptimizationLevel level)
    {
        using var folder = new TempFolder();
        var model = TestModels.Create([TestModels.Input("x", DataType.Float, dims)], [fragment.Output], fragment.Initializers, [.. fragment.Nodes]);
        (model.IrVersion, model.OpsetImport[0].Version) = (10, 21);
        OnnxFile.Save(model, folder["model.onnx"], folder["model.data"]);
        var settings = new SessionSettings { Threads = 2, Optimisation = level, Entries = new Dictionary<string, string> { ["session.disable_quant_qdq"] = "1" } };
        using var options = settings.Create();
        using var session = new InferenceSession(folder["model.onnx"], options);
        using var input = OrtValue.CreateTensorValueFromMemory(values, dims);
        using var run = new RunOptions();
        using var results = session.Run(run, ["x"], [input], [fragment.Output]);
        CollectionAssert.AreEqual(dims, results[0].GetTensorTypeAndShape().Shape);
        return results[0].GetTensorDataAsSpan<float>().ToArray();
    }
}
