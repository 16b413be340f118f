using QuantSdk.Calibration;
using QuantSdk.Engines;
using QuantSdk.Onnx;
using QuantSdk.Planning;
using QuantSdk.Runtime;
using QuantSdk.Tests.Calibration;
using QuantSdk.Tests.Onnx;
using QuantSdk.Tests.Onnx.Upgrading;
using static QuantSdk.Onnx.TensorProto.Types;
using static QuantSdk.Tests.Onnx.Upgrading.TestNodes;

namespace QuantSdk.Tests.Planning;

/// <summary>
/// Weights wherever they hide. Each form stands between two products (the first and the last of a model stay in float) and goes through
/// the whole build for cpu and tensorrt-onnx: what runs has to agree with the float model, and the form is quantised or has a reason.
/// </summary>
[TestClass]
public sealed class WeightFormsTests
{
    private const int Rows = 48;

    /// <summary>Weights of 64×64 and more, so that nothing is small enough to be folded for its size alone.</summary>
    private static TensorProto Weight(string name, params long[] dims) => Tensors.Create(name, TestModels.Random((int)dims.Aggregate(1L, (a, b) => a * b), name.Length + dims.Length), dims);

    [TestMethod]
    public void Initializers_that_several_nodes_share()
    {
        var result = Build([64], [Weight("w", 64, 64)], Nodes.Create("MatMul", "m1", ["a", "w"], ["b"]), Node("Tanh", ["b"], "t"), Nodes.Create("MatMul", "m2", ["t", "w"], ["c"]));
        Assert.HasCount(2, result.Plan!.Layers);
        Assert.AreEqual(1, result.Plan.Layers.Select(l => l.Weight.Tensor).Distinct().Count());
    }

    [TestMethod]
    public void Weights_in_Constant_nodes()
    {
        var constant = Node("Constant", [], "w");
        constant.Attribute.Add(new AttributeProto { Name = "value", Type = AttributeProto.Types.AttributeType.Tensor, T = Weight("", 64, 64) });
        Quantised("MatMul", Build([64], [], constant, Node("MatMul", ["a", "w"], "c")));
    }

    [TestMethod]
    public void Weights_behind_Transpose_Reshape_Cast_and_Identity()
    {
        Quantised("MatMul", Build([256], [Weight("w", 256, 256)], Node("Transpose", ["w"], "v").Ints("perm", 1, 0), Node("MatMul", ["a", "v"], "c")));
        Quantised("MatMul", Build([256], [Weight("w", 65536), Tensors.Vector("s", 256L, 256)], Node("Reshape", ["w", "s"], "v"), Node("MatMul", ["a", "v"], "c")));
        Quantised("MatMul", Build([256], [Tensors.Create("w", Array.ConvertAll(TestModels.Random(65536, 3), v => (double)v), 256, 256)], Node("Cast", ["w"], "v").With("to", 1L), Node("MatMul", ["a", "v"], "c")));
        Quantised("MatMul", Build([256], [Tensors.Create("w", Array.ConvertAll(TestModels.Random(65536, 3), v => (Half)v), 256, 256)], Node("Cast", ["w"], "v").With("to", 1L), Node("MatMul", ["a", "v"], "c")));
        Quantised("MatMul", Build([64], [Weight("w", 64, 64)], Node("Identity", ["w"], "v"), Node("Unsqueeze", ["v", "zero"], "u"), Node("Squeeze", ["u", "zero"], "s"), Node("MatMul", ["a", "s"], "c")));
    }

    [TestMethod]
    [DataRow(0)]
    [DataRow(1)]
    public void Gemm_with_any_transB_alpha_beta_and_bias(int transB)
    {
        foreach (var bias in (TensorProto?[])[null, Weight("v", 64), Weight("v", 1, 64), Weight("v", 1), Tensors.Scalar("v", 0.5f)])
        {
            foreach (var (alpha, beta) in ((float, float)[])[(1, 1), (0.5f, 2)])
            {
                var gemm = Node("Gemm", bias is null ? ["a", "w"] : ["a", "w", "v"], "c").With("transB", (long)transB).With("alpha", alpha).With("beta", beta);
                Quantised("Gemm", Build([64], bias is null ? [Weight("w", 64, 64)] : [Weight("w", 64, 64), bias], gemm));
            }
        }
    }

    [TestMethod]
    public void Gemm_with_transA_is_a_Transpose_before_it() =>
        Quantised("Gemm", Build([64], [Weight("w", 64, 64), Weight("v", 64)], Node("Transpose", ["a"], "t").Ints("perm", 1, 0), Node("Gemm", ["t", "w", "v"], "c").With("transA", 1L)));

    [TestMethod]
    public void A_bias_that_differs_by_row_is_a_reason()
    {
        // A column of a bias for each of the rows, which is then their number.
        var result = Build([64], [Weight("w", 64, 64), Weight("w2", 64, 64), Weight("v", Batch, 1)], Node("MatMul", ["a", "w2"], "m"), Node("Gemm", ["m", "w", "v"], "c").With("beta", 0.5f));
        Assert.AreEqual("its bias is not one number an output channel", Reason("Gemm", result));
    }

    [TestMethod]
    [DataRow(1)]
    [DataRow(2)]
    [DataRow(3)]
    public void Convolutions_of_every_rank_grouped_and_depthwise(int rank)
    {
        long[] kernel = [.. Enumerable.Repeat(3L, rank)], pads = [.. Enumerable.Repeat(1L, 2 * rank)];
        foreach (var group in (long[])[1, 4, 16])
        {
            var conv = Node("Conv", ["a", "w", "v"], "c").Ints("pads", pads).With("group", group);
            Quantised("Conv", Build([16, .. Enumerable.Repeat(6L, rank)], [Weight("w", [16, 16 / group, .. kernel]), Weight("v", 16)], conv));
        }
    }

    [TestMethod]
    [DataRow(1)]
    [DataRow(2)]
    public void Transposed_convolutions_have_scales_along_axis_1(int rank)
    {
        long[] kernel = [.. Enumerable.Repeat(3L, rank)], pads = [.. Enumerable.Repeat(1L, 2 * rank)];
        foreach (var group in (long[])[1, 4])
        {
            var result = Build([16, .. Enumerable.Repeat(6L, rank)], [Weight("w", [16, 16 / group, .. kernel]), Weight("v", 16)], Node("ConvTranspose", ["a", "w", "v"], "c").Ints("pads", pads).With("group", group));
            Quantised("ConvTranspose", result);
            Assert.AreEqual(1, result.Plan!.Layers.Single().Weight.Axis);
        }
    }

    [TestMethod]
    public void MatMul_with_batch_dimensions()
    {
        Quantised("MatMul", Build([5, 64], [Weight("w", 1, 64, 64)], Node("MatMul", ["a", "w"], "c")));
        StringAssert.Contains(Reason("MatMul", Build([5, 64], [Weight("w", 3, 64, 64), Weight("w2", 64, 64)], Nodes.Create("MatMul", "m2", ["a", "w2"], ["b"]), Node("Unsqueeze", ["b", "one"], "u"), Node("MatMul", ["u", "w"], "m"), Node("ReduceMean", ["m"], "c").Ints("axes", 1).With("keepdims", 0L))), "3 dimensions");
        Assert.AreEqual("its first operand is constant", Reason("MatMul", Build([64, 64], [Weight("w", 64, 64)], Nodes.Create("MatMul", "m2", ["a", "w"], ["b"]), Node("MatMul", ["w", "b"], "c"))));
    }

    [TestMethod]
    public void Nodes_inside_bodies_are_counted()
    {
        var body = new GraphProto { Name = "body" };
        body.Node.Add([Node("MatMul", ["a", "w"], "m"), Node("MatMul", ["m", "w"], "n")]);
        body.Output.Add(new ValueInfoProto { Name = "n" });
        var other = new GraphProto { Name = "other" };
        other.Node.Add(Node("MatMul", ["a", "w"], "o"));
        other.Output.Add(new ValueInfoProto { Name = "o" });
        var choose = Nodes.Create("If", "choose", ["flag"], ["i"]).Body("then_branch", body).Body("else_branch", other);
        // Read from outside too: the bodies must keep the name of a weight that is quantised there.
        var result = Build([64], [Weight("w", 64, 64), Tensors.Create("flag", [true])], Node("MatMul", ["a", "w"], "q"), choose, Node("Add", ["i", "q"], "c"));
        Assert.AreEqual("the bodies of control flow are left alone: 3 products in them", Reason("If", result));
        Quantised("MatMul", result);
    }

    [TestMethod]
    public void Other_nodes_with_weights_have_reasons()
    {
        var result = Build([5, 64],
            [Weight("i", 1, 256, 64), Weight("r", 1, 256, 64), Weight("w", 64, 64), Weight("table", 64, 64), Tensors.Vector("row", 1L)],
            Node("LSTM", ["a", "i", "r"], "l").With("hidden_size", 64L), Node("Squeeze", ["l", "one"], "s"), Node("MatMul", ["s", "w"], "m"), Node("Gather", ["table", "row"], "g"), Node("Add", ["m", "g"], "c"));
        StringAssert.Contains(Reason("LSTM", result), "recurrent");
        Quantised("MatMul", result);
    }

    [TestMethod]
    public void Weights_that_are_quantised_already_are_said_to_be()
    {
        var result = Build([64],
            [Tensors.Create("w_int", [.. Enumerable.Range(0, 4096).Select(i => (sbyte)(i * 7 % 255 - 127))], 64, 64), Tensors.Scalar("w_s", 0.01f), Weight("w2", 64, 64)],
            Node("DequantizeLinear", ["w_int", "w_s"], "w"), Node("MatMul", ["a", "w"], "m"), Node("Tanh", ["m"], "t"), Nodes.Create("MatMul", "other", ["t", "w2"], ["c"]));
        StringAssert.Contains(Reason("MatMul", result), "computed from constants");
    }

    [TestMethod]
    public void Names_with_punctuation_no_names_and_names_twice()
    {
        Quantised("MatMul", Build([64], [Weight("w:0,1", 64, 64)], Nodes.Create("MatMul", "m:0,1;x", ["a", "w:0,1"], ["b:0,1"]), Nodes.Create("Tanh", "", ["b:0,1"], ["c"])));
        var twice = Build([64], [Weight("w", 64, 64), Weight("w2", 64, 64)], Nodes.Create("MatMul", "same", ["a", "w"], ["b"]), Nodes.Create("Tanh", "same", ["b"], ["t"]), Nodes.Create("MatMul", "same", ["t", "w2"], ["d"]), Nodes.Create("Tanh", "", ["d"], ["c"]));
        Assert.HasCount(2, twice.Plan!.Layers);
        Assert.HasCount(2, Build([64], [Weight("w", 64, 64), Weight("w2", 64, 64)], Nodes.Create("MatMul", "", ["a", "w"], ["b"]), Nodes.Create("Tanh", "", ["b"], ["t"]), Nodes.Create("MatMul", "", ["t", "w2"], ["c"])).Plan!.Layers);
    }

    [TestMethod]
    public void Names_that_the_writer_of_quantised_graphs_would_choose_are_taken()
    {
        // A query, a scale and a raw tensor of that name are no rarity beside a weight w and an activation a.
        var result = Build([64], [Weight("w", 64, 64), Weight("w_q", 64, 64), Weight("w_scale", 64), Weight("w_dq", 64, 64)],
            Nodes.Create("MatMul", "m0", ["a", "w"], ["a_q"]), Nodes.Create("Mul", "s", ["a_q", "w_scale"], ["a_dq"]), Nodes.Create("MatMul", "m1", ["a_dq", "w_q"], ["a_scale"]), Nodes.Create("Tanh", "t", ["a_scale"], ["a_raw"]), Nodes.Create("MatMul", "m2", ["a_raw", "w_dq"], ["c"]));
        Assert.HasCount(3, result.Plan!.Layers);
    }

    [TestMethod]
    public void Dimensions_that_nobody_knows() =>
        Quantised("Conv", Build([8, -6, -5], [Weight("w", 8, 8, 3, 3)], Node("Conv", ["a", "w"], "b").Ints("pads", 1, 1, 1, 1), Node("Relu", ["b"], "c")));

    [TestMethod]
    [DataRow(7)]
    [DataRow(9)]
    [DataRow(11)]
    [DataRow(12)]
    public void Old_operator_sets(int opset)
    {
        var result = Build([16, 6, 6], [Weight("w", 16, 16, 3, 3), .. OpsetUpgradeTests.Statistics(16)], opset,
            Node("Conv", ["a", "w"], "b0").Ints("pads", 1, 1, 1, 1), Node("BatchNormalization", ["b0", "g", "b", "m", "v"], "n"), Node("Dropout", ["n"], "d"), Node("Softmax", ["d"], "c").With("axis", 1L));
        Quantised("Conv", result);
    }

    [TestMethod]
    public void External_data_in_several_files()
    {
        using var folder = new TempFolder();
        var parts = new[] { Weight("w0", 64, 64), Weight("w1", 64, 64), Weight("w2", 64, 64) };
        Directory.CreateDirectory(folder["data"]);
        foreach (var tensor in parts)
        {
            File.WriteAllBytes(folder[$"data/{tensor.Name}.bin"], tensor.RawData.ToByteArray());
            tensor.ClearRawData();
            tensor.DataLocation = DataLocation.External;
            tensor.ExternalData.Add(new StringStringEntryProto { Key = "location", Value = $"data/{tensor.Name}.bin" });
        }
        var model = TestModels.Create([TestModels.Input("x", DataType.Float, -1, 64)], ["y"], parts,
            Nodes.Create("MatMul", "m0", ["x", "w0"], ["a"]), Node("Tanh", ["a"], "b"), Nodes.Create("MatMul", "m1", ["b", "w1"], ["c"]), Nodes.Create("Tanh", "tanh2", ["c"], ["d"]), Nodes.Create("MatMul", "m2", ["d", "w2"], ["y"]));
        File.WriteAllBytes(folder["model.onnx"], Google.Protobuf.MessageExtensions.ToByteArray(model));
        var result = Build(folder, folder["model.onnx"], [64]);
        Quantised("MatMul", result);
        Assert.HasCount(3, result.DiscoveredInputs);
    }

    private const int Batch = 8;

    private static void Quantised(string op, BuildResult result) => Assert.AreEqual(op, result.Plan!.Layers.Single().Op);

    private static string Reason(string op, BuildResult result) => result.Report.Kept.First(k => k.Op == op && !k.BuiltIn).Reason;

    private static BuildResult Build(long[] row, TensorProto[] constants, params NodeProto[] nodes) => Build(row, constants, 17, nodes);

    /// <summary>input x → product → a → nodes → c → product → y, built and compared.</summary>
    /// <param name="row">Shape of a row of a; negative where the graph does not know the size.</param>
    private static BuildResult Build(long[] row, TensorProto[] constants, int opset, params NodeProto[] nodes)
    {
        var channels = row.Length > 1 && nodes.Any(n => n.OpType.StartsWith("Conv", StringComparison.Ordinal)) ? row[0] : 0;
        var (op, first, last) = channels > 0
            ? ("Conv", Weight("first_w", [channels, channels, .. Enumerable.Repeat(1L, row.Length - 1)]), Weight("last_w_", [channels, channels, .. Enumerable.Repeat(1L, row.Length - 1)]))
            : ("MatMul", Weight("first_w", Math.Abs(row[^1]), Math.Abs(row[^1])), Weight("last_w_", 64, 64));
        if (channels == 0 && row[^1] != 64)
            last = Weight("last_w_", row[^1], row[^1]);
        var input = TestModels.Input("x", DataType.Float, [-1, .. row.Select(Math.Abs)]);
        for (var i = 0; i < row.Length; i++)
        {
            if (row[i] < 0)
                input.Type.TensorType.Shape.Dim[i + 1] = new TensorShapeProto.Types.Dimension { DimParam = $"size{i}" };
        }
        // Rows in a bias or in a product over the batch fix it.
        if (nodes.Any(n => n.OpType is "Gemm") && constants.Any(c => c.Dims.Count == 2 && c.Dims[1] == 1))
            input.Type.TensorType.Shape.Dim[0] = new TensorShapeProto.Types.Dimension { DimValue = Batch };
        if (nodes.Any(n => n.Int("transA", 0) != 0))
            input.Type.TensorType.Shape.Dim[0] = new TensorShapeProto.Types.Dimension { DimValue = Batch };
        var model = TestModels.Create([input], ["y"], [first, last, Tensors.Vector("zero", 0L), Tensors.Vector("one", 1L), .. constants],
            [Nodes.Create(op, "first", ["x", "first_w"], ["a0"]), Nodes.Create("Tanh", "bounded", ["a0"], ["a"]), .. nodes, Nodes.Create("Sigmoid", "after", ["c"], ["z"]), Nodes.Create(op, "last", ["z", "last_w_"], ["y"])]);
        model.OpsetImport[0].Version = opset;
        using var folder = new TempFolder();
        OnnxFile.Save(model, folder["model.onnx"], folder["model.data"]);
        return Build(folder, folder["model.onnx"], row);
    }

    private static BuildResult Build(TempFolder folder, string model, long[] row)
    {
        long[] shape = [Rows, .. row.Select(Math.Abs)];
        var data = NpyWriter.Npz(folder, ("x", NpyWriter.Npy("<f4", shape, TestModels.Random((int)shape.Aggregate(1L, (a, b) => a * b), 11))));
        var metadata = new Dictionary<string, string> { ["CalibrationData"] = data, ["ValidationData"] = data, ["Calibrator"] = "max", ["Targets"] = "cpu;tensorrt-onnx", ["OptimizeFor"] = "size" };
        var result = ModelBuilder.Build(new BuildRequest("m", model, folder.Path, folder["engine"], null, 2, metadata, null), new SilentLog(), default);
        Assert.IsGreaterThan(25, result.Manifest.Quality.Min(q => q.SqnrDb), "cpu");
        using var reference = ReferenceModel.Open(OnnxFile.Load(model), 2);
        using var tensorRt = ModelSession.Open(folder["engine/tensorrt/model.onnx"], new SessionSettings { Entries = new Dictionary<string, string> { ["session.disable_quant_qdq"] = "1" } });
        var feed = Feed.Fit(CalibrationFiles.Read([data], null), reference.Session.Inputs, model);
        Assert.IsGreaterThan(25, QuantSdk.Quality.QualityCheck.Compare(reference.Session, tensorRt, new RowSource(feed), null, default).Min(q => q.SqnrDb), "tensorrt");
        Assert.IsTrue(result.Report.Kept.All(k => k.Reason.Length > 0));
        return result;
    }
}
