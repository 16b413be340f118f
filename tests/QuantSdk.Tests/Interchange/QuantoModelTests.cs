using System.Runtime.InteropServices;
using QuantSdk.Calibration;
using QuantSdk.Interchange;
using QuantSdk.Onnx;
using QuantSdk.Planning;
using QuantSdk.Recipes;
using QuantSdk.Rewriting;
using QuantSdk.Tests.Onnx;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Tests.Interchange;

/// <summary>Quanto's layout, against values computed by hand and against decoding by its formulas.</summary>
[TestClass]
public sealed class QuantoModelTests
{
    [TestMethod]
    public void Int8_has_a_scale_a_channel()
    {
        var (data, scale, _) = Tensors(QuantoWeights.Encode("m.weight", "int8", [1.27f, -0.01f, 0, 0, -2.54f, 2.54f], [3, 2]));
        Assert.AreEqual(("m.weight._data", "I8"), (data.Name, data.Dtype));
        CollectionAssert.AreEqual(new sbyte[] { 127, -1, 0, 0, -127, 127 }, MemoryMarshal.Cast<byte, sbyte>(data.Data.Span).ToArray());
        Assert.AreEqual(("m.weight._scale", "F32"), (scale.Name, scale.Dtype));
        CollectionAssert.AreEqual(new long[] { 3, 1 }, scale.Shape.ToArray());
        CollectionAssert.AreEqual(new[] { 1.27f / 127, 1, 2.54f / 127 }, Floats(scale), "a channel of zeros needs a scale that is not zero");
        CollectionAssert.AreEqual(new long[] { 2, 1, 1, 1 }, QuantoWeights.Encode("m", "int8", new float[12], [2, 3, 1, 2]).Last().Shape.ToArray());
        Assert.IsEmpty(QuantoWeights.Encode("m", "int8", new float[12], [1, 12]).Last().Shape, "along an axis of 1 quanto's scale is a scalar");
    }

    [TestMethod]
    public void Fp8_has_a_scale_a_channel()
    {
        // E4M3: 448 = 1.75·2^8 is 0 1111 110, −1 is 1 0111 000, 2^−9 is 0 0000 001; behind a scale of 448/448 and of 2.
        var (data, scale, _) = Tensors(QuantoWeights.Encode("m.weight", "fp8", [448, -1, 0.001953125f, -896, 2, 0], [2, 3]));
        Assert.AreEqual(("m.weight._data", "F8_E4M3"), (data.Name, data.Dtype));
        CollectionAssert.AreEqual(new byte[] { 0x7E, 0xB8, 0x01, 0xFE, 0x38, 0x00 }, data.Data.ToArray());
        CollectionAssert.AreEqual(new[] { 1f, 2 }, Floats(scale));
        CollectionAssert.AreEqual(new long[] { 2, 1 }, scale.Shape.ToArray());
    }

    [TestMethod]
    public void Int4_packs_the_second_half_of_the_rows_into_the_high_bits()
    {
        // Each row spans 15 steps of its scale, so that codes are exact: 1, 2 and ½.
        float[] weights = [-3, 12, 0, -10, 20, 0, 0, 7.5f, 0.5f];
        var (data, scale, shift) = Tensors(QuantoWeights.Encode("m.weight", "int4", weights, [3, 3]));
        Assert.AreEqual(("m.weight._data._data", "U8"), (data.Name, data.Dtype));
        CollectionAssert.AreEqual(new long[] { 2, 3 }, data.Shape.ToArray(), "3 rows in parts of 2");
        // Codes: row 0: 0 15 3, row 1: 0 15 5, row 2: 0 15 1; row 2 lies above row 0, nothing above row 1.
        CollectionAssert.AreEqual(new byte[] { 0x00, 0xFF, 0x13, 0x00, 0x0F, 0x05 }, data.Data.ToArray());
        CollectionAssert.AreEqual(new[] { 1f, 2, 0.5f }, Floats(scale));
        CollectionAssert.AreEqual(new[] { 3f, 10, 0 }, Floats(shift!));
        Assert.AreEqual(("m.weight._scale", "m.weight._shift"), (scale.Name, shift!.Name));
    }

    [TestMethod]
    public void Int2_packs_four_parts_and_equal_weights_survive()
    {
        var (data, scale, shift) = Tensors(QuantoWeights.Encode("m.weight", "int2", [0, 3, 1, 2, 5, 5, -3, 0], [4, 2]));
        CollectionAssert.AreEqual(new long[] { 1, 2 }, data.Shape.ToArray());
        // Codes 0 3 | 0 3 | 0 0 | 0 3 from the low bits up.
        CollectionAssert.AreEqual(new byte[] { 0, 0b11_00_11_11 }, data.Data.ToArray());
        CollectionAssert.AreEqual(new[] { 1f, 1 / 3f, 1, 1 }, Floats(scale));
        CollectionAssert.AreEqual(new[] { 0f, -1, -5, 3 }, Floats(shift!));
    }

    [TestMethod]
    [DataRow(96, null)]
    [DataRow(128, null)]
    [DataRow(320, 64)]
    [DataRow(640, 128)]
    [DataRow(768, 128)]
    [DataRow(1152, 128)]
    [DataRow(2880, 96)]
    [DataRow(160, 32)]
    [DataRow(130, null)]
    public void Groups_have_quantos_sizes(long channel, int? size) => Assert.AreEqual(size, QuantoWeights.GroupSize(channel));

    [TestMethod]
    [DataRow("int4", 4, 5, 320, 64)]
    [DataRow("int4", 4, 3, 100, 100)]
    [DataRow("int2", 2, 7, 640, 128)]
    public void Grouped_weights_decode_by_quantos_formula(string format, int bits, int rows, int columns, int group)
    {
        var weights = TestModels.Random(rows * columns, 2);
        var (data, scale, shift) = Tensors(QuantoWeights.Encode("m.weight", format, weights, [rows, columns]));
        var groups = rows * columns / group;
        CollectionAssert.AreEqual(new long[] { groups, 1 }, scale.Shape.ToArray());
        // Unpacked as quanto does it: the parts under each other, surplus rows cut off.
        var bytes = data.Data.ToArray();
        var codes = Enumerable.Range(0, 8 / bits).SelectMany(part => bytes.Select(b => (b >> (part * bits)) & ((1 << bits) - 1))).Take(weights.Length).ToArray();
        var (scales, shifts) = (Floats(scale), Floats(shift!));
        for (var i = 0; i < weights.Length; i++)
        {
            var decoded = scales[i / group] * codes[i] - shifts[i / group];
            Assert.AreEqual(weights[i], decoded, scales[i / group] * 0.501);
        }
    }

    [TestMethod]
    public void A_model_is_written_in_torchs_orientation_with_biases_and_scales()
    {
        using var folder = new TempFolder();
        // Linear layers as exporters write them: MatMul and Add, Gemm; weights [K, N] and [N, K].
        var model = TestModels.Create([TestModels.Input("x", DataType.Float, -1, 2)], ["y"],
            [
                QuantSdk.Onnx.Tensors.Create("w1", [1f, 2, 3, 4, 5, 6], 2, 3), QuantSdk.Onnx.Tensors.Create("b1", [7f, 8, 9], 3),
                QuantSdk.Onnx.Tensors.Create("w2", [1f, -2, 3, 4, 5, -6], 2, 3), QuantSdk.Onnx.Tensors.Create("b2", [1f, 2], 2),
            ],
            Nodes.Create("MatMul", "/block/lin/MatMul", ["x", "w1"], ["a"]), Nodes.Create("Add", "/block/lin/Add", ["b1", "a"], ["b"]),
            Nodes.Create("Gemm", "/block/out/Gemm", ["b", "w2", "b2"], ["y"]).With("transB", 1));
        var onnx = TestModels.Reload(model, folder);
        var view = new GraphView(onnx.Graph);
        var modules = new ModulePaths(onnx.Graph);
        Layer[] layers = [.. onnx.Graph.Node.Where(Placement.IsProduct).Select(n => Placement.Candidate(view, n, modules[n]).Layer!)];
        CollectionAssert.AreEqual(new[] { "x", "b", "y" }, QuantoModel.Observed(onnx, layers).ToArray());

        var ranges = new CalibrationTable(1, "max", 1, [.. new[] { ("x", 127f), ("b", 254f), ("y", 12.7f) }.Select(t => new TensorCalibration(t.Item1, 0, t.Item2, 0, t.Item2, t.Item2, 1))]);
        var quanto = QuantoModel.Encode(onnx, layers, "int8", ranges);
        var tensors = quanto.Tensors.ToDictionary(t => t.Name, StringComparer.Ordinal);
        string first = modules[onnx.Graph.Node[0]], second = modules[onnx.Graph.Node[2]];
        CollectionAssert.AreEquivalent(
            new[] { first, second }.SelectMany(m => (string[])[$"{m}.weight._data", $"{m}.weight._scale", $"{m}.bias", $"{m}.input_scale", $"{m}.output_scale"]).ToArray(), tensors.Keys.ToArray());
        // w1 transposed: rows (1, 4), (2, 5), (3, 6).
        var data = tensors[$"{first}.weight._data"];
        CollectionAssert.AreEqual(new long[] { 3, 2 }, data.Shape.ToArray());
        CollectionAssert.AreEqual(new sbyte[] { 32, 127, 51, 127, 64, 127 }, MemoryMarshal.Cast<byte, sbyte>(data.Data.Span).ToArray(), "127/4, 2·127/5 and 3·127/6 rounded half to even");
        CollectionAssert.AreEqual(new[] { 4f / 127, 5f / 127, 6f / 127 }, Floats(tensors[$"{first}.weight._scale"]));
        CollectionAssert.AreEqual(new[] { 7f, 8, 9 }, Floats(tensors[$"{first}.bias"]));
        CollectionAssert.AreEqual(new sbyte[] { 42, -85, 127, 85, 106, -127 }, MemoryMarshal.Cast<byte, sbyte>(tensors[$"{second}.weight._data"].Data.Span).ToArray());
        Assert.AreEqual((1f, 2f), (Floats(tensors[$"{first}.input_scale"])[0], Floats(tensors[$"{first}.output_scale"])[0]), "behind the bias");
        Assert.AreEqual((2f, 0.1f), (Floats(tensors[$"{second}.input_scale"])[0], Floats(tensors[$"{second}.output_scale"])[0]));
        Assert.AreEqual(new QuantoModule("qint8", "qint8"), quanto.Modules[first]);
        Assert.AreEqual(new QuantoModule("qint4", "none"), QuantoModel.Encode(onnx, layers, "int4", null).Modules[first]);
    }

    [TestMethod]
    [DataRow("unet")]
    [DataRow("mmdit")]
    public void Every_layer_of_the_samples_has_keys_of_its_own(string name)
    {
        var onnx = Simplification.Simplify(OnnxFile.Load(name == "unet" ? Repository.Digits("unet.onnx") : Repository.Mmdit("transformer.onnx")));
        var recipe = new Recipe { Name = name };
        var layers = Placement.Decide(onnx, recipe, Roles.Find(onnx, recipe)).Layers;
        var quanto = QuantoModel.Encode(onnx, layers, "int4", null);
        Assert.HasCount(layers.Count, quanto.Modules);
        Assert.IsEmpty(quanto.Left);
        Assert.AreEqual(quanto.Tensors.Count, quanto.Tensors.Select(t => t.Name).Distinct(StringComparer.Ordinal).Count());
        Assert.IsTrue(quanto.Modules.Keys.All(m => quanto.Tensors.Any(t => t.Name == m + ".weight._data._data")));
        // Half a byte a weight, and no key but those of modules.
        Assert.AreEqual(layers.Sum(l => onnx.Graph.Initializer.First(t => t.Name == l.Weight).Count()) / 2, quanto.Tensors.Where(t => t.Dtype == "U8").Sum(t => t.Data.Length));
    }

    private static (SafetensorsTensor Data, SafetensorsTensor Scale, SafetensorsTensor? Shift) Tensors(IEnumerable<SafetensorsTensor> tensors) =>
        tensors.ToArray() is var all ? (all[0], all[1], all.ElementAtOrDefault(2)) : default;

    private static float[] Floats(SafetensorsTensor tensor) => MemoryMarshal.Cast<byte, float>(tensor.Data.Span).ToArray();
}
