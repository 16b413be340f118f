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
        ["digits_cnn", "int8", "int8"], ["digits_cnn", "fp8", "fp8"], ["digits_cnn", "fp8", "float"], ["digits_cnn", "int4", "float"],
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

    private static void Expect(ModelProto model) => Assert.AreEqual("", string.Join("\n", GraphRules.Check(model)));
}
