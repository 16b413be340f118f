using QuantSdk.Onnx;
using QuantSdk.Rewriting;
using QuantSdk.Runtime;
using QuantSdk.Tests.Onnx;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Tests.Rewriting;

/// <summary>The int8 kernels of linear layers against the Q/DQ graph they stand for, which ONNX Runtime computes in float.</summary>
[TestClass]
public sealed class LinearKernelsTests
{
    private const int Channels = 12;

    [TestMethod]
    [DataRow("with bias", 1, 0)]
    [DataRow("without bias", 1, 0)]
    [DataRow("bias on the left", 1, 0)]
    [DataRow("one bias for all", 1, 1)]
    [DataRow("residual", 1, 1)]
    [DataRow("product is read", 1, 1)]
    [DataRow("unsigned weight", 0, 1)]
    [DataRow("signed activation", 0, 1)]
    [DataRow("scale by row", 0, 1)]
    public void A_product_and_its_bias_become_one_kernel(string variant, int kernels, int sums)
    {
        var model = QuantisedLinear(variant);
        var written = LinearKernels.Write(model.Clone());
        Assert.AreEqual(kernels, written.Graph.Node.Count(n => n.OpType == "MatMulIntegerToFloat"));
        Assert.AreEqual(sums, written.Graph.Node.Count(n => n.OpType == "Add"));
        using var folder = new TempFolder();
        OnnxFile.Save(model, folder["a.onnx"], folder["a.data"]);
        OnnxFile.Save(written, folder["b.onnx"], folder["b.data"]);
        using var before = ModelSession.Open(folder["a.onnx"], new SessionSettings { Threads = 1, Entries = new Dictionary<string, string> { ["session.disable_quant_qdq"] = "1" } });
        using var after = ModelSession.Open(folder["b.onnx"], new SessionSettings { Threads = 1, Entries = new Dictionary<string, string> { ["session.disable_quant_qdq"] = "1" } });
        var input = ModelTensor.Create(TestModels.Random(3 * 5 * Channels, 2), 3, 5, Channels);
        var (a, b) = (before.Run(new Dictionary<string, ModelTensor> { ["x"] = input }), after.Run(new Dictionary<string, ModelTensor> { ["x"] = input }));
        foreach (var name in a.Keys)
        {
            var (x, y) = (a[name].AsSpan<float>().ToArray(), b[name].AsSpan<float>().ToArray());
            Assert.IsGreaterThan(0.1, x.Max(Math.Abs));
            for (var i = 0; i < x.Length; i++)
                Assert.AreEqual(x[i], y[i], 1e-4, name);
        }
    }

    private static ModelProto QuantisedLinear(string variant)
    {
        const int outputs = 8;
        var random = new Random(1);
        var unsigned = variant == "unsigned weight";
        var signedActivation = variant == "signed activation";
        var byRow = variant == "scale by row";
        var codes = Enumerable.Range(0, Channels * outputs).Select(_ => (sbyte)random.Next(-127, 128)).ToArray();
        List<TensorProto> initializers =
        [
            Tensors.Scalar("sx", 0.008f), signedActivation ? Tensors.Scalar("zx", (sbyte)3) : Tensors.Scalar("zx", (byte)131),
            unsigned ? Tensors.Create("w", Array.ConvertAll(codes, c => (byte)(c + 128)), Channels, outputs) : Tensors.Create("w", codes, Channels, outputs),
            Tensors.Vector("sw", [.. Enumerable.Range(1, byRow ? Channels : outputs).Select(i => 0.003f * i)]),
            unsigned ? Tensors.Vector("zw", Enumerable.Repeat((byte)128, outputs).ToArray()) : Tensors.Vector("zw", new sbyte[byRow ? Channels : outputs]),
            Tensors.Vector("bias", TestModels.Random(outputs, 4)), Tensors.Vector("bias1", 0.7f), Tensors.Create("residual_w", TestModels.Random(Channels * outputs, 6), Channels, outputs),
        ];
        List<NodeProto> nodes =
        [
            Nodes.Create("QuantizeLinear", "q", ["x", "sx", "zx"], ["xq"]),
            Nodes.Create("DequantizeLinear", "dq", ["xq", "sx", "zx"], ["xdq"]),
            Nodes.Create("DequantizeLinear", "dqw", ["w", "sw", "zw"], ["wdq"]).With("axis", byRow ? 0L : 1),
            Nodes.Create("MatMul", "product", ["xdq", "wdq"], ["p"]),
        ];
        string[] results = ["y"];
        switch (variant)
        {
            case "without bias":
                results = ["p"];
                break;
            case "bias on the left":
                nodes.Add(Nodes.Create("Add", "sum", ["bias", "p"], ["y"]));
                break;
            case "one bias for all":
                nodes.Add(Nodes.Create("Add", "sum", ["p", "bias1"], ["y"]));
                break;
            case "residual":
                nodes.AddRange([Nodes.Create("MatMul", "other", ["x", "residual_w"], ["r"]), Nodes.Create("Add", "sum", ["p", "r"], ["y"])]);
                break;
            default:
                nodes.Add(Nodes.Create("Add", "sum", ["p", "bias"], ["y"]));
                break;
        }
        if (variant == "product is read")
            results = ["y", "p"];
        var model = TestModels.Create([TestModels.Input("x", DataType.Float, -1, 5, Channels)], results, initializers, [.. nodes]);
        return model;
    }
}
