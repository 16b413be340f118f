using System.Runtime.InteropServices;
using Microsoft.ML.OnnxRuntime;
using QuantSdk.Numerics;
using QuantSdk.Onnx;
using QuantSdk.Planning;
using QuantSdk.Rewriting;
using QuantSdk.Runtime;
using QuantSdk.Tests.Numerics;
using QuantSdk.Tests.Onnx;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Tests.Rewriting;

/// <summary>One product in every format and lowering: values where ONNX Runtime can run it, structure and stored numbers where TensorRT alone can.</summary>
[TestClass]
public sealed class FormatWriterTests
{
    private const int K = 96, N = 40, Rows = 6;

    /// <summary>Half of the largest input: some of it saturates.</summary>
    private const float Amax = 1.7f;

    [TestMethod]
    [DataRow("MatMul", "fp8", "fp8", 31)]
    [DataRow("MatMul", "fp8-e5m2", "fp8-e5m2", 25)]
    [DataRow("MatMul", "mxfp8", "mxfp8", 31)]
    [DataRow("MatMul", "nvfp4", "nvfp4", 18)]
    [DataRow("Gemm", "nvfp4", "nvfp4", 18)]
    [DataRow("MatMul", "nf4", "float", 18)]
    [DataRow("Gemm", "fp8", "float", 31)]
    [DataRow("MatMul", "float", "mxfp8", 31)]
    [DataRow("MatMul", "int8", "mxfp8", 31)]
    [DataRow("MatMul", "fp8", "int8-dynamic", 31)]
    public void The_simulation_multiplies_what_the_codecs_decode(string op, string weights, string activations, double leastSqnr)
    {
        using var folder = new TempFolder();
        var (model, plan, w) = Product(op, weights, activations, folder, 21);
        var x = WeightFormatTests.Gaussian(Rows * K, 8);
        var actual = Run(Lowering.Lower(model, plan, "sim"), x);
        var amax = x.Max(MathF.Abs);
        float[] q = activations switch
        {
            "float" or "int8-dynamic" => x,
            "nvfp4" => Through(new Nvfp4(Nvfp4.TensorScale(Amax)), x, [Rows, K], 0),
            "mxfp8" => Through(new Mxfp8(), x, [Rows, K], 0),
            _ => Static(activations, x),
        };
        var dims = model.Graph.Initializer.Single(t => t.Name == "w").Dims;
        var axis = op == "Gemm" ? 0 : 1;
        var decoded = weights is "float" or "int8" ? w : Through(WeightFormat.Of(weights), w, dims, axis);
        Assert.IsGreaterThan(weights == "int8" || activations == "int8-dynamic" ? 30 : 120, WeightFormatTests.Sqnr(Multiply(q, decoded, axis), actual));
        // And it is the format's precision that is simulated, on inputs that the static ranges hold.
        var small = Array.ConvertAll(x, v => v * (Amax / amax));
        Assert.IsGreaterThan(leastSqnr - 3.5, WeightFormatTests.Sqnr(Multiply(small, w, axis), Run(Lowering.Lower(model, plan, "sim"), small)));
    }

    [TestMethod]
    [DataRow("MatMul")]
    [DataRow("Gemm")]
    public void Fp8_for_TensorRT_runs_in_ONNX_Runtime_as_it_stands(string op)
    {
        using var folder = new TempFolder();
        var (model, plan, w) = Product(op, "fp8", "fp8", folder, 19);
        var lowered = Lowering.Lower(model, plan, "tensorrt");
        var axis = op == "Gemm" ? 0 : 1;
        var view = new GraphView(lowered.Graph);
        var node = lowered.Graph.Node.Single(n => n.Name == "product");
        var weight = view.Producer(node.Input[1])!;
        Assert.AreEqual("DequantizeLinear", weight.OpType);
        Assert.AreEqual(axis, weight.Attribute("axis")!.I);
        Assert.AreEqual((int)DataType.Float8E4M3Fn, view.Initializer(weight.Input[0])!.DataType);
        Assert.AreEqual(N, view.Initializer(weight.Input[1])!.Count(), "a scale a channel");
        Assert.AreEqual((int)DataType.Float8E4M3Fn, view.Initializer(weight.Input[2])!.DataType);
        CollectionAssert.AreEqual(view.Initializer(weight.Input[1])!.Dims, view.Initializer(weight.Input[2])!.Dims);
        var activation = view.Producer(view.Producer(node.Input[0])!.Input[0])!;
        Assert.AreEqual("QuantizeLinear", activation.OpType);
        Assert.AreEqual(Amax / 448, view.Initializer(activation.Input[1])!.ToFloats()[0]);
        Assert.IsFalse(lowered.Graph.Initializer.Any(t => t.Name == "w"), "no float copy");
        var x = WeightFormatTests.Gaussian(Rows * K, 8);
        Assert.IsGreaterThan(120, WeightFormatTests.Sqnr(Multiply(Static("fp8", x), Through(WeightFormat.Of("fp8"), w, model.Graph.Initializer[0].Dims, axis), axis), Run(lowered, x)));
    }

    [TestMethod]
    [DataRow("MatMul", "mxfp8")]
    [DataRow("Gemm", "mxfp8")]
    [DataRow("MatMul", "nvfp4")]
    [DataRow("Gemm", "nvfp4")]
    [DataRow("Stack", "mxfp8")]
    [DataRow("Stack", "nvfp4")]
    public void Block_formats_for_TensorRT_store_what_the_codec_decodes(string op, string format)
    {
        using var folder = new TempFolder();
        var (model, plan, w) = Product(op, format, format, folder, 23);
        var dims = model.Graph.Initializer[0].Dims.ToArray();
        var axis = plan.Layers[0].Weight.Axis;
        var lowered = Lowering.Lower(model, plan, "tensorrt");
        var view = new GraphView(lowered.Graph);
        var product = lowered.Graph.Node.Single(n => n.Name == "product");
        CollectionAssert.AreEqual(Through(WeightFormat.Of(format), w, dims, axis), WeightOf(view, product.Input[1], format));
        Assert.IsFalse(lowered.Graph.Initializer.Any(t => t.Name == "w"), "no float copy");

        var outer = view.Producer(product.Input[0])!;
        var quantise = view.Producer(outer.Input[0])!;
        Assert.AreEqual("trt", quantise.Domain);
        Assert.AreEqual(format == "mxfp8" ? "TRT_MXFP8DynamicQuantize" : "TRT_FP4DynamicQuantize", quantise.OpType);
        Assert.AreEqual("x", quantise.Input[0]);
        foreach (var node in (NodeProto[])[quantise, outer])
        {
            Assert.AreEqual(-1, node.Attribute("axis")!.I);
            Assert.AreEqual(format == "mxfp8" ? 32 : 16, node.Attribute("block_size")!.I);
        }
        if (format == "nvfp4")
        {
            Assert.AreEqual((long)DataType.Float8E4M3Fn, quantise.Attribute("scale_type")!.I);
            Assert.AreEqual(Amax / (6 * 448), view.Initializer(quantise.Input[1])!.ToFloats()[0]);
            var inner = view.Producer(outer.Input[1])!;
            Assert.AreEqual((quantise.Output[1], quantise.Input[1]), (inner.Input[0], inner.Input[1]));
            Assert.AreEqual("", outer.Domain);
        }
        else
        {
            Assert.AreEqual((quantise.Output[1], "trt", (long)DataType.Float), (outer.Input[1], outer.Domain, outer.Attribute("output_dtype")!.I));
        }
        Assert.AreEqual(1, lowered.OpsetImport.Single(o => o.Domain == "trt").Version);
    }

    [TestMethod]
    [DataRow("MatMul", 96)]
    [DataRow("Gemm", 96)]
    [DataRow("MatMul", 50)]
    [DataRow("Gemm", 50)]
    public void Nf4_runs_on_the_cpu_from_four_bits_a_weight(string op, int k)
    {
        using var folder = new TempFolder();
        var (model, plan, w) = Product(op, "nf4", "float", folder, 17, k);
        var lowered = Lowering.Lower(model, plan, "cpu");
        Assert.AreEqual("MatMulBnb4", lowered.Graph.Node.Single(n => n.Name == "product").OpType);
        Assert.IsLessThan((4.6 * w.Length / 8) + 200, lowered.Graph.Initializer.Where(t => t.Name != "b").Sum(t => t.RawData.Length));
        var axis = op == "Gemm" ? 0 : 1;
        // By the paper: blocks of 64 of [N, K] run on from row to row.
        var table = new Nf4().Values.ToArray();
        var decoded = (float[])w.Clone();
        int Position(int flat) => axis == 0 ? flat : flat % k * N + flat / k;
        for (var start = 0; start < w.Length; start += 64)
        {
            var block = Enumerable.Range(start, Math.Min(64, w.Length - start)).Select(Position).ToArray();
            var absmax = block.Max(i => MathF.Abs(w[i]));
            foreach (var i in block)
                decoded[i] = table.MinBy(t => Math.Abs((double)t * absmax - w[i])) * absmax;
        }
        var x = WeightFormatTests.Gaussian(Rows * k, 8);
        var expected = Multiply(x, decoded, axis, k);
        if (op == "Gemm")
            expected = [.. expected.Select((v, i) => v + i % N)];
        Assert.IsGreaterThan(110, WeightFormatTests.Sqnr(expected, Run(lowered, x, k)));
    }

    [TestMethod]
    [DataRow("sim", "nvfp4")]
    [DataRow("sim", "fp8")]
    [DataRow("cpu", "nf4")]
    public void The_bias_takes_up_the_mean_error_of_rounding(string target, string weights)
    {
        using var folder = new TempFolder();
        var (model, plan, w) = Product("Gemm", weights, "float", folder, 21);
        // All rows have the same mean: what the mean's own product loses must come back exactly.
        var means = WeightFormatTests.Gaussian(K, 12);
        var x = Enumerable.Range(0, Rows * K).Select(i => means[i % K]).ToArray();
        var exact = Multiply(x, w, 0);
        if (weights == "nf4")
            exact = [.. exact.Select((v, i) => v + i % N)];
        var corrected = plan with { Layers = [plan.Layers[0] with { Activation = plan.Layers[0].Activation with { Means = means } }] };
        Assert.IsLessThan(50, WeightFormatTests.Sqnr(exact, Run(Lowering.Lower(model, plan, target), x)));
        Assert.IsGreaterThan(100, WeightFormatTests.Sqnr(exact, Run(Lowering.Lower(model, corrected, target), x)));
    }

    [TestMethod]
    [DataRow("sim")]
    [DataRow("tensorrt")]
    public void Weights_take_up_what_smoothing_has_done_to_int8_activations(string target)
    {
        foreach (var weights in (string[])["float", "fp8", "nvfp4"])
        {
            if (target == "tensorrt" && weights == "nvfp4")
                continue;
            using var folder = new TempFolder();
            var (model, plan, w) = Product("MatMul", weights, "int8", folder, 21);
            var factors = Enumerable.Range(0, K).Select(k => 0.5f + k % 7).ToArray();
            var x = WeightFormatTests.Gaussian(Rows * K, 8).Select((v, i) => v * factors[i % K]).ToArray();
            var activation = plan.Layers[0].Activation with { Smoothed = new SmoothedPlan(factors, -4, 4, null, -4, 4, 4, factors) };
            plan = plan with { Layers = [plan.Layers[0] with { Activation = activation }] };
            Assert.IsGreaterThan(weights switch { "float" => 34, "fp8" => 28, _ => 17 }, WeightFormatTests.Sqnr(Multiply(x, w, 1), Run(Lowering.Lower(model, plan, target), x)), weights);
        }
    }

    [TestMethod]
    public void A_weight_that_is_not_finite_is_named()
    {
        foreach (var value in (float[])[float.NaN, float.NegativeInfinity])
        {
            using var folder = new TempFolder();
            var (model, plan, _) = Product("MatMul", "fp8", "fp8", folder, 21, value: value);
            var e = Assert.ThrowsExactly<QuantSdkException>(() => Lowering.Lower(model, plan, "sim"));
            Assert.AreEqual("QSDK3040", e.Code);
            StringAssert.Contains(e.Message, "'w'");
        }
    }

    [TestMethod]
    public void A_tensor_in_two_ranges_has_two_quantisers_and_in_one_range_one()
    {
        using var folder = new TempFolder();
        var model = TestModels.Create(
            [TestModels.Input("x", DataType.Float, -1, K)], ["y", "z", "u"], [Tensors.Create("w", WeightFormatTests.Gaussian(K * N, 1), K, N)],
            [.. ((string[])["y", "z", "u"]).Select(o => QuantSdk.Onnx.Nodes.Create("MatMul", "to_" + o, ["x", "w"], [o]))]);
        (model.IrVersion, model.OpsetImport[0].Version) = (10, 21);
        LayerPlan Layer(string node, float amax) => new(node, "MatMul", "", new TensorPlan("x", "nvfp4", -amax, amax, amax), new WeightPlan("w", "nvfp4", 1), null, null, 0);
        var plan = new Plan(2, [], [Layer("to_y", 1), Layer("to_z", 2), Layer("to_u", 1)], []);
        var lowered = Lowering.Lower(TestModels.Reload(model, folder), plan, "sim");
        Assert.HasCount(2, lowered.Graph.Node.Where(n => n.OpType == "ReduceMax").ToArray());
        string Reads(string node) => lowered.Graph.Node.Single(n => n.Name == node).Input[0];
        Assert.AreEqual(Reads("to_y"), Reads("to_u"));
        Assert.AreNotEqual(Reads("to_y"), Reads("to_z"));
        float[] scales = [.. lowered.Graph.Initializer.Where(t => t.Name.StartsWith("x_nvfp4_scale", StringComparison.Ordinal)).Select(t => t.ToFloats()[0])];
        CollectionAssert.AreEqual((float[])[1f / 2688, 2f / 2688], scales);
        OnnxFile.Save(lowered, folder["lowered.onnx"], folder["lowered.data"]);
        ModelSession.Open(folder["lowered.onnx"], new SessionSettings()).Dispose();
    }

    [TestMethod]
    public void Names_that_the_model_has_already_are_left_to_it()
    {
        // A tensor named as one of the fragment's nodes, one as its scale with another value, one as a shared number.
        using var folder = new TempFolder();
        var model = TestModels.Create(
            [TestModels.Input("x", DataType.Float, -1, 16)], ["y"],
            [Tensors.Create("w", WeightFormatTests.Gaussian(256, 1), 16, 16), Tensors.Scalar("x_nvfp4_scale", 5f), Tensors.Scalar("f32_40c00000", 7f)],
            QuantSdk.Onnx.Nodes.Create("Mul", "x_nvfp4_0_Abs", ["x", "x_nvfp4_scale"], ["x_nvfp4_0"]),
            QuantSdk.Onnx.Nodes.Create("MatMul", "product", ["x", "w"], ["p"]),
            QuantSdk.Onnx.Nodes.Create("Add", "sum", ["x_nvfp4_0", "p"], ["s"]),
            QuantSdk.Onnx.Nodes.Create("Mul", "scaled", ["s", "f32_40c00000"], ["y"]));
        (model.IrVersion, model.OpsetImport[0].Version) = (10, 21);
        var plan = new Plan(2, [], [new LayerPlan("product", "MatMul", "", new TensorPlan("x", "nvfp4", -1, 1, 1), new WeightPlan("w", "float", 1), null, null, 0)], []);
        var x = WeightFormatTests.Gaussian(Rows * 16, 8);
        var actual = Run(Lowering.Lower(TestModels.Reload(model, folder), plan, "sim"), x, 16);
        var codec = new Nvfp4(Nvfp4.TensorScale(1));
        var q = codec.Decode(codec.Encode(x, [Rows, 16], 0));
        var w = WeightFormatTests.Gaussian(256, 1);
        var expected = x.Select((v, i) => (float)(7 * (5 * (double)v + Enumerable.Range(0, 16).Sum(k => (double)q[i / 16 * 16 + k] * w[k * 16 + i % 16]))));
        Assert.IsGreaterThan(120, WeightFormatTests.Sqnr([.. expected], actual));
    }

    /// <summary>x · w, or x · wᵀ + (0, 1, 2, …), or a stack of two products, and its plan.</summary>
    private static (OnnxModel Model, Plan Plan, float[] Weight) Product(string op, string weights, string activations, TempFolder folder, int opset, int k = K, float? value = null)
    {
        long[] dims = op switch { "MatMul" => [k, N], "Gemm" => [N, k], _ => [2, k, N] };
        var w = WeightFormatTests.Gaussian((int)dims.Aggregate((a, b) => a * b), 3);
        w[5] = value ?? w[5];
        var bias = op == "Gemm" && activations == "float" && weights == "nf4";
        var node = QuantSdk.Onnx.Nodes.Create(op == "Stack" ? "MatMul" : op, "product", bias ? ["x", "w", "b"] : ["x", "w"], ["y"]);
        var model = TestModels.Create(
            [op == "Stack" ? TestModels.Input("x", DataType.Float, 2, -1, k) : TestModels.Input("x", DataType.Float, -1, k)], ["y"],
            [Tensors.Create("w", w, dims), Tensors.Vector("b", [.. Enumerable.Range(0, N).Select(i => (float)i)])],
            op == "Gemm" ? node.With("transB", 1L) : node);
        (model.IrVersion, model.OpsetImport[0].Version) = (opset > 21 ? 11 : 10, opset);
        var axis = op == "Gemm" ? 0 : dims.Length - 1;
        var layer = new LayerPlan("product", node.OpType, "", new TensorPlan("x", activations, -Amax, Amax, Amax), new WeightPlan("w", weights, axis), bias ? "b" : null, null, 0);
        return (TestModels.Reload(model, folder), new Plan(2, [], [layer], []), w);
    }

    /// <summary>The weight that TensorRT makes of what is stored, read as its documentation says.</summary>
    private static float[] WeightOf(GraphView view, string tensor, string format)
    {
        var node = view.Producer(tensor)!;
        var turn = node.OpType == "Transpose" ? node : null;
        var dequantise = turn is null ? node : view.Producer(turn.Input[0])!;
        Assert.AreEqual(-1, dequantise.Attribute("axis")!.I);
        var codes = view.Initializer(dequantise.Input[0])!;
        var size = (int)dequantise.Attribute("block_size")!.I;
        var values = new float[codes.Count()];
        if (format == "mxfp8")
        {
            Assert.AreEqual(("trt", "TRT_MXFP8DequantizeLinear", (int)DataType.Float8E4M3Fn), (dequantise.Domain, dequantise.OpType, codes.DataType));
            var scales = view.Initializer(dequantise.Input[1])!;
            Assert.AreEqual((int)DataType.Uint8, scales.DataType);
            Assert.AreEqual(codes.Dims[^1] / 32, scales.Dims[^1]);
            for (var i = 0; i < values.Length; i++)
                values[i] = (float)(SmallFloat.E4M3.Values[codes.RawData[i]] * Math.Pow(2, scales.RawData[i / size] - 127));
        }
        else
        {
            Assert.AreEqual(("", "DequantizeLinear", (int)DataType.Float4E2M1), (dequantise.Domain, dequantise.OpType, codes.DataType));
            var inner = view.Producer(dequantise.Input[1])!;
            var scales = view.Initializer(inner.Input[0])!;
            Assert.AreEqual(("DequantizeLinear", (int)DataType.Float8E4M3Fn), (inner.OpType, scales.DataType));
            Assert.AreEqual(codes.Dims[^1] / 16, scales.Dims[^1]);
            var tensorScale = view.Initializer(inner.Input[1])!.ToFloats().Single();
            for (var i = 0; i < values.Length; i++)
                values[i] = SmallFloat.E2M1.Values[codes.RawData[i / 2] >> i % 2 * 4 & 15] * (SmallFloat.E4M3.Values[scales.RawData[i / size]] * tensorScale);
        }
        if (turn is null)
            return values;
        var (rows, columns) = ((int)codes.Dims[^2], (int)codes.Dims[^1]);
        CollectionAssert.AreEqual(codes.Dims.Count == 2 ? (long[])[1, 0] : [0, 2, 1], turn.Attribute("perm")!.Ints);
        var turned = new float[values.Length];
        for (var i = 0; i < values.Length; i++)
            turned[i / (rows * columns) * rows * columns + i % columns * rows + i / columns % rows] = values[i];
        return turned;
    }

    private static float[] Through(WeightFormat format, float[] values, IReadOnlyList<long> dims, int axis) => format.Decode(format.Encode(values, dims, axis));

    private static float[] Static(string format, float[] values)
    {
        var element = format == "fp8" ? SmallFloat.E4M3 : SmallFloat.E5M2;
        var scale = Amax / element.Max;
        return Array.ConvertAll(values, v => element.Values[element.Encode(v / scale)] * scale);
    }

    private static float[] Multiply(float[] x, float[] w, int axis, int k = K)
    {
        var y = new float[Rows * N];
        for (var i = 0; i < y.Length; i++)
            y[i] = (float)Enumerable.Range(0, k).Sum(j => (double)x[i / N * k + j] * w[axis == 0 ? i % N * k + j : j * N + i % N]);
        return y;
    }

    private static float[] Run(ModelProto model, float[] x, int k = K)
    {
        using var folder = new TempFolder();
        OnnxFile.Save(model, folder["model.onnx"], folder["model.data"]);
        using var options = new SessionSettings { Threads = 2, Entries = new Dictionary<string, string> { ["session.disable_quant_qdq"] = "1" } }.Create();
        using var session = new InferenceSession(folder["model.onnx"], options);
        using var input = OrtValue.CreateTensorValueFromMemory(x, [Rows, k]);
        using var run = new RunOptions();
        using var results = session.Run(run, ["x"], [input], ["y"]);
        return MemoryMarshal.Cast<byte, float>(results[0].GetTensorMutableRawData()).ToArray();
    }
}
