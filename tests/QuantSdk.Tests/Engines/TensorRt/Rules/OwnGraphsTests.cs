using QuantSdk.Engines;
using QuantSdk.Engines.TensorRt.Rules;
using QuantSdk.Onnx;
using QuantSdk.Rewriting;
using QuantSdk.Tests.Rewriting;

namespace QuantSdk.Tests.Engines.TensorRt.Rules;

/// <summary>What we write breaks no rule, whatever the model, the format and the type.</summary>
[TestClass]
public sealed class OwnGraphsTests
{
    public static IEnumerable<object[]> Models =>
    [
        .. Directory.GetFiles(Repository.Data("archs"), "*.onnx").Select(f => Path.GetFileNameWithoutExtension(f)).Where(n => n != "pixart_sigma_tiny").Order(StringComparer.Ordinal).Select(n => new object[] { n, "int8", "int8" }),
        ["digits_cnn", "int8", "int8"], ["digits_cnn", "fp8", "fp8"],
        ["pixart_sigma_tiny", "fp8", "fp8"], ["pixart_sigma_tiny", "mxfp8", "mxfp8"], ["pixart_sigma_tiny", "nvfp4", "nvfp4"],
    ];

    [TestMethod]
    [DynamicData(nameof(Models))]
    public void Nothing_is_found_in_our_graphs(string name, string weights, string activations)
    {
        using var folder = new TempFolder();
        var model = TensorRtModel.Of(name, weights, folder, ("Weights", weights), ("Activations", activations));
        var lowered = model.Lowered;
        Expect(lowered);
        Expect(HalfPrecision.Convert(lowered, model.Amax, "fp16").Model);

        Expect(HalfPrecision.Convert(lowered, model.Amax, "bf16").Model);
    }

    /// <summary>Weights alone are streamed from file to file, without a lowering in between.</summary>
    [TestMethod]
    [DataRow("archs/auraflow_tiny.onnx", 64)]
    [DataRow("archs/llama_tiny.onnx", 128)]
    public void Nothing_is_found_where_weights_alone_have_four_bits(string file, int block)
    {
        using var folder = new TempFolder();
        ModelBuilder.Build(new BuildRequest("m", Repository.Data(file), folder.Path, folder["engine"], null, 2, new Dictionary<string, string> { ["Precision"] = "int4", ["BlockSize"] = $"{block}", ["Targets"] = "tensorrt-onnx" }, null), new SilentLog(), default);
        var model = OnnxFile.Load(folder["engine/tensorrt/model.onnx"]).Proto;
        Assert.IsTrue(model.Graph.Initializer.Any(t => t.DataType == (int)TensorProto.Types.DataType.Int4));
        Expect(model);
        Expect(HalfPrecision.Convert(model, new Dictionary<string, float>(), "fp16").Model);
    }

    private static void Expect(ModelProto model) => Assert.AreEqual("", string.Join("\n", GraphRules.Check(model)));
}
