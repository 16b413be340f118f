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

    [TestMethod]
    [DataRow("MatMul", false)]
    [DataRow("Gemm", false)]
    [DataRow("Gemm", true)]
    public void Ranges_found_at_run_time_are_those_of_DynamicQuantizeLinear(string op, bool transposed)
    {
        const int outputs = 8, rows = 7;
        var random = new Random(5);
        var codes = Enumerable.Range(0, Channels * outputs).Select(_ => (sbyte)random.Next(-127, 128)).ToArray();
        // By output channels: [N, K] holds at (n, k) what [K, N] holds at (k, n).
        var stored = transposed ? [.. Enumerable.Range(0, codes.Length).Select(i => codes[i % Channels * outputs + i / Channels])] : codes;
        List<TensorProto> Initializers(sbyte[] weight, bool byOutputs) =>
        [
            Tensors.Create("w", weight, byOutputs ? [outputs, Channels] : [Channels, outputs]), Tensors.Vector("sw", [.. Enumerable.Range(1, outputs).Select(i => 0.003f * i)]), Tensors.Vector("zw", new sbyte[outputs]),
            Tensors.Vector("bias", TestModels.Random(outputs, 4)),
        ];
        var x = TestModels.Input("x", DataType.Float, -1, Channels);
        NodeProto[] product = op == "Gemm"
            ? [Nodes.Create("Gemm", "product", ["x", "wdq", "bias"], ["y"]).With("transB", transposed ? 1L : 0)]
            : [Nodes.Create("MatMul", "product", ["x", "wdq"], ["p"]), Nodes.Create("Add", "sum", ["p", "bias"], ["y"])];
        var planned = TestModels.Create([x], ["y"], Initializers(stored, transposed), [Nodes.Create("DequantizeLinear", "dqw", ["w", "sw", "zw"], ["wdq"]).With("axis", transposed ? 0L : 1), .. product]);
        var written = LinearKernels.Write(planned.Clone(), new HashSet<string> { "product" });
        Assert.AreEqual("DynamicQuantizeMatMul", written.Graph.Node.Single().OpType);
        Assert.HasCount(2, LinearKernels.Write(planned.Clone()).Graph.Node.Where(n => n.OpType is "DequantizeLinear" or "MatMul" or "Gemm"), "weight-only stays as it is");
        var reference = TestModels.Create(
            [x], ["y"], Initializers(codes, false),
            Nodes.Create("DynamicQuantizeLinear", "q", ["x"], ["xq", "sx", "zx"]), Nodes.Create("MatMulInteger", "mm", ["xq", "w", "zx", "zw"], ["i"]), Nodes.Create("Cast", "c", ["i"], ["f"]).With("to", 1),
            Nodes.Create("Mul", "s", ["sx", "sw"], ["ss"]), Nodes.Create("Mul", "m", ["f", "ss"], ["p"]), Nodes.Create("Add", "a", ["p", "bias"], ["y"]));
        using var folder = new TempFolder();
        OnnxFile.Save(reference, folder["a.onnx"], folder["a.data"]);
        OnnxFile.Save(written, folder["b.onnx"], folder["b.data"]);
        using var before = ModelSession.Open(folder["a.onnx"], new SessionSettings { Threads = 1, Optimisation = Microsoft.ML.OnnxRuntime.GraphOptimizationLevel.ORT_DISABLE_ALL });
        using var after = ModelSession.Open(folder["b.onnx"], new SessionSettings { Threads = 1 });
        var input = new Dictionary<string, ModelTensor> { ["x"] = ModelTensor.Create(TestModels.Random(rows * Channels, 2), rows, Channels) };
        var (a, b) = (before.Run(input)["y"].AsSpan<float>().ToArray(), after.Run(input)["y"].AsSpan<float>().ToArray());
        for (var i = 0; i < a.Length; i++)
            Assert.AreEqual(a[i], b[i], 1e-4);
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
