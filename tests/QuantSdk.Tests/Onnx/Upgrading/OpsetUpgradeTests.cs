using QuantSdk.Onnx;
using QuantSdk.Onnx.Upgrading;
using QuantSdk.Recipes;
using QuantSdk.Runtime;
using static QuantSdk.Onnx.TensorProto.Types;
using static QuantSdk.Tests.Onnx.Upgrading.TestNodes;

namespace QuantSdk.Tests.Onnx.Upgrading;

/// <summary>Every adapter, before against after in ONNX Runtime.</summary>
[TestClass]
public sealed class OpsetUpgradeTests
{
    private static readonly long[] s_targets = [13, 18, 21, 25];

    [TestMethod]
    [DataRow("Softmax")]
    [DataRow("LogSoftmax")]
    [DataRow("Hardmax")]
    public void Softmax_flattens_at_its_axis(string op)
    {
        foreach (var from in (long[])[7, 12])
        {
            foreach (var unknown in (bool[])[false, true])
            {
                for (var axis = 0; axis < 4; axis++)
                    BeforeAndAfter.Of(Node(op, ["x"], "y").With("axis", (long)axis)).Input("x", [2, 3, 4, 5], unknown).Holds(from, 13);
                BeforeAndAfter.Of(Node(op, ["x"], "y")).Input("x", [2, 3, 4], unknown).HoldsEverywhere(from, s_targets);
            }
        }
        for (var axis = -3; axis < 0; axis++)
            BeforeAndAfter.Of(Node(op, ["x"], "y").With("axis", (long)axis)).Input("x", [2, 3, 4]).Holds(11, 21);
    }

    [TestMethod]
    public void Softmax_over_the_last_axis_stays_one_node()
    {
        foreach (var (axis, inferred) in ((long?, bool)[])[(3, false), (-1, false), (3, true)])
        {
            var softmax = Node("Softmax", [inferred ? "t" : "x"], "y");
            NodeProto[] nodes = inferred ? [Node("Transpose", ["x"], "t").Ints("perm", 0, 2, 1, 3), softmax] : [softmax];
            if (axis is { } value)
                softmax.With("axis", value);
            var graph = BeforeAndAfter.Of(nodes).Input("x", [2, 3, 4, 5], unknown: true).Holds(11, 13).Graph;
            Assert.HasCount(nodes.Length, graph.Node);
            Assert.AreEqual(-1, graph.Node[^1].Int("axis", 0));
        }
        // The rank is that of a computed shape, as exporters write it: [first dimension of x, −1].
        var reshaped = BeforeAndAfter.Of(
            Node("Shape", ["x"], "s"), Node("Gather", ["s", "zero"], "b").With("axis", 0L), Nodes.Create("Unsqueeze", "u", ["b"], ["n"]).Ints("axes", 0), Node("Concat", ["n", "rest"], "t").With("axis", 0L), Node("Reshape", ["x", "t"], "r"), Node("Softmax", ["r"], "y").With("axis", 1L))
            .Input("x", [2, 3, 4], unknown: true).Constant(Tensors.Scalar("zero", 0L), Tensors.Vector("rest", -1L)).Holds(9, 13).Graph;
        Assert.AreEqual("Softmax", reshaped.Node[^1].OpType);
        // Two dimensions and the default axis: the usual classifier.
        Assert.HasCount(1, BeforeAndAfter.Of(Node("Softmax", ["x"], "y")).Input("x", [4, 10]).Holds(7, 21).Graph.Node);
    }

    [TestMethod]
    public void Axes_of_Squeeze_Unsqueeze_and_reductions_are_inputs()
    {
        foreach (var from in (long[])[7, 11])
        {
            BeforeAndAfter.Of(Node("Squeeze", ["x"], "y")).Input("x", [1, 3, 1, 2]).HoldsEverywhere(from, s_targets);
            BeforeAndAfter.Of(Node("Squeeze", ["x"], "y").Ints("axes", 0)).Input("x", [1, 3, 1, 2]).HoldsEverywhere(from, s_targets);
            BeforeAndAfter.Of(Node("Squeeze", ["x"], "y").Ints("axes", 0, 2)).Input("x", [1, 3, 1, 2], unknown: true).Holds(from, 13);
            BeforeAndAfter.Of(Node("Unsqueeze", ["x"], "y").Ints("axes", 0)).Input("x", [3, 2]).HoldsEverywhere(from, s_targets);
            BeforeAndAfter.Of(Node("Unsqueeze", ["x"], "y").Ints("axes", 3, 0)).Input("x", [3, 2]).Holds(from, 25);
        }
        BeforeAndAfter.Of(Node("Squeeze", ["x"], "y").Ints("axes", -2)).Input("x", [1, 3, 1, 2]).Holds(11, 13);
        BeforeAndAfter.Of(Node("Unsqueeze", ["x"], "y").Ints("axes", -1)).Input("x", [3, 2]).Holds(12, 13);
    }

    [TestMethod]
    [DataRow("ReduceSum")]
    [DataRow("ReduceL1")]
    [DataRow("ReduceL2")]
    [DataRow("ReduceLogSum")]
    [DataRow("ReduceLogSumExp")]
    [DataRow("ReduceMax")]
    [DataRow("ReduceMean")]
    [DataRow("ReduceMin")]
    [DataRow("ReduceProd")]
    [DataRow("ReduceSumSquare")]
    public void Reductions_keep_axes_defaults_and_dimensions(string op)
    {
        // Positive numbers, for the logarithms.
        BeforeAndAfter With(NodeProto reduction) => BeforeAndAfter.Of(Node("Abs", ["x"], "a"), reduction).Input("x", [2, 3, 4]);
        foreach (var keep in (long?[])[null, 0, 1])
        {
            NodeProto Reduction(params long[] axes)
            {
                var node = Node(op, ["a"], "y");
                if (axes.Length > 0)
                    node.Ints("axes", axes);
                return keep is { } k ? node.With("keepdims", k) : node;
            }

            With(Reduction()).HoldsEverywhere(7, 13, 18, 21, 25);
            With(Reduction(0)).HoldsEverywhere(7, 17, 19, 25);
            With(Reduction(2, 0)).Holds(7, 21);
            With(Reduction(-1)).Holds(11, 21);
            With(Reduction(-1, -3)).HoldsEverywhere(12, 13, 18);
            With(Reduction().Ints("axes")).Holds(11, 21);
            if (op != "ReduceSum")
                With(Reduction(1)).Holds(13, 18);
        }
    }

    [TestMethod]
    public void Split_takes_its_sizes_or_the_number_of_its_outputs()
    {
        foreach (var from in (long[])[7, 11])
        {
            BeforeAndAfter.Of(Node("Split", ["x"], "y0", "y1", "y2").With("axis", 1L).Ints("split", 1, 3, 2)).Input("x", [2, 6]).HoldsEverywhere(from, s_targets);
            BeforeAndAfter.Of(Node("Split", ["x"], "y0", "y1", "y2").With("axis", 1L)).Input("x", [2, 6]).HoldsEverywhere(from, s_targets);
            BeforeAndAfter.Of(Node("Split", ["x"], "y0", "y1")).Input("x", [2, 6]).HoldsEverywhere(from, s_targets);
        }
        BeforeAndAfter.Of(Node("Split", ["x"], "y0", "y1").With("axis", -1L)).Input("x", [2, 6]).HoldsEverywhere(13, 17, 18, 25);
        BeforeAndAfter.Of(Node("Split", ["x", "s"], "y0", "y1")).Input("x", [3, 6]).Constant(Tensors.Vector("s", 1L, 2L)).HoldsEverywhere(13, 21);
    }

    [TestMethod]
    public void Slice_takes_inputs()
    {
        BeforeAndAfter.Of(Node("Slice", ["x"], "y").Ints("starts", 1, 0).Ints("ends", 3, 2)).Input("x", [4, 5, 3]).HoldsEverywhere(7, s_targets);
        BeforeAndAfter.Of(Node("Slice", ["x"], "y").Ints("starts", -3, 1).Ints("ends", int.MaxValue, -1).Ints("axes", 1, 0)).Input("x", [4, 5], unknown: true).HoldsEverywhere(9, 10, 13, 25);
    }

    [TestMethod]
    public void Pad_takes_inputs()
    {
        foreach (var mode in (string[])["constant", "reflect", "edge"])
        {
            foreach (var value in (float?[])[null, 0, -1.5f])
            {
                NodeProto Pad(params long[] pads)
                {
                    var node = Node("Pad", ["x"], "y").Text("mode", mode).Ints("pads", pads);
                    return value is { } v ? node.With("value", v) : node;
                }

                BeforeAndAfter.Of(Pad(0, 1, 2, 0, 2, 1)).Input("x", [2, 4, 5]).HoldsEverywhere(7, 11, 13, 19, 25);
                BeforeAndAfter.Of(Pad(0, -1, 1, 0, 2, -1)).Input("x", [2, 4, 5]).Holds(10, 21);
            }
        }
        BeforeAndAfter.Of(Node("Pad", ["x"], "y").Ints("pads", 1, 0, 0, 1).With("value", 2f)).Input("x", [2, 3], type: DataType.Double).Holds(9, 18);
    }

    [TestMethod]
    public void Clip_takes_inputs()
    {
        foreach (var from in (long[])[7, 10])
        {
            BeforeAndAfter.Of(Node("Clip", ["x"], "y").With("min", -0.5f).With("max", 0.25f)).Input("x", [40]).HoldsEverywhere(from, s_targets);
            BeforeAndAfter.Of(Node("Clip", ["x"], "y").With("max", 0.25f)).Input("x", [40]).Holds(from, 13);
            BeforeAndAfter.Of(Node("Clip", ["x"], "y").With("min", 0f)).Input("x", [40]).Holds(from, 21);
            BeforeAndAfter.Of(Node("Clip", ["x"], "y")).Input("x", [40]).Holds(from, 25);
        }
    }

    [TestMethod]
    public void TopK_takes_k_as_an_input()
    {
        BeforeAndAfter.Of(Node("TopK", ["x"], "y", "y_indices").With("k", 3L)).Input("x", [4, 8]).HoldsEverywhere(7, 10, 11, 13, 25);
        BeforeAndAfter.Of(Node("TopK", ["x"], "y", "y_indices").With("k", 2L).With("axis", 0L)).Input("x", [4, 8]).Holds(9, 21);
        BeforeAndAfter.Of(Node("TopK", ["x", "k"], "y", "y_indices").With("axis", 0L)).Input("x", [4, 8]).Constant(Tensors.Vector("k", 2L)).Holds(10, 21);
    }

    [TestMethod]
    public void DFT_keeps_its_axis()
    {
        BeforeAndAfter.Of(Node("DFT", ["x"], "y")).Input("x", [2, 8, 4, 1]).HoldsEverywhere(17, 19, 20, 25);
        BeforeAndAfter.Of(Node("DFT", ["x"], "y").With("axis", 2L).With("onesided", 1L)).Input("x", [2, 8, 4, 1]).Holds(17, 21);
        BeforeAndAfter.Of(Node("DFT", ["x", "n"], "y").With("inverse", 1L)).Input("x", [2, 8, 2]).Constant(Tensors.Scalar("n", 6L)).Holds(18, 21);
    }

    [TestMethod]
    public void Scatter_has_another_name() =>
        BeforeAndAfter.Of(Node("Scatter", ["x", "i", "u"], "y").With("axis", 1L)).Input("x", [2, 4]).Values("i", new[] { 0L, 3, 1, 2 }, 2, 2).Input("u", [2, 2]).HoldsEverywhere(9, 11, 13, 18, 25);

    [TestMethod]
    public void Dropout_is_the_identity()
    {
        foreach (var from in (long[])[7, 10, 11])
        {
            BeforeAndAfter.Of(Node("Dropout", ["x"], "y").With("ratio", 0.25f)).Input("x", [2, 4]).HoldsEverywhere(from, s_targets);
            BeforeAndAfter.Of(Node("Dropout", ["x"], "y")).Input("x", [2, 4]).Holds(from, 13);
            BeforeAndAfter.Of(Node("Dropout", ["x"], "y", "mask").With("ratio", 0.9f)).Input("x", [2, 4]).Holds(from, 13);
            Refused(from, 13, "mask", Node("Dropout", ["x"], "y", "mask"), Node("Identity", ["mask"], "y_mask"));
        }
    }

    [TestMethod]
    public void Batch_norm_loses_spatial_and_the_outputs_of_training()
    {
        foreach (var from in (long[])[7, 8, 9, 13])
        {
            BeforeAndAfter.Of(Node("BatchNormalization", ["x", "g", "b", "m", "v"], "y").With("epsilon", 1e-3f)).Input("x", [2, 3, 4, 4]).Constant(Statistics(3)).HoldsEverywhere(from, 13, 14, 15, 21, 25);
            if (from >= 9)
                continue;
            BeforeAndAfter.Of(Node("BatchNormalization", ["x", "g", "b", "m", "v"], "y").With("spatial", 1L)).Input("x", [2, 3, 4, 4]).Constant(Statistics(3)).HoldsEverywhere(from, 9, 13, 21);
            foreach (var epsilon in (float?[])[null, 1e-2f])
            {
                var norm = Node("BatchNormalization", ["x", "g", "b", "m", "v"], "y").With("spatial", 0L);
                if (epsilon is { } e)
                    norm.With("epsilon", e);
                BeforeAndAfter.Of(norm).Input("x", [2, 3, 4, 5]).Constant(Statistics(3, 4, 5)).HoldsEverywhere(from, 9, 13, 21);
            }
        }
        // Names for the outputs of training that nothing reads are what old exporters left behind; ONNX Runtime itself cannot run those.
        var unread = new OnnxModel(BeforeAndAfter.Of(Node("BatchNormalization", ["x", "g", "b", "m", "v"], "y", "mean", "var", "saved_mean", "saved_var")).Input("x", [2, 3, 4]).Constant(Statistics(3)).Model(9), "test.onnx", []);
        CollectionAssert.AreEqual(new[] { "y" }, OpsetUpgrade.To(unread, 14).Graph.Node.Single().Output);
        Refused(9, 14, "statistics", Node("BatchNormalization", ["x", "g", "b", "m", "v"], "y", "mean"), Node("Identity", ["mean"], "y_mean"));
    }

    [TestMethod]
    public void Group_norm_repeats_scale_and_bias_for_each_channel()
    {
        TensorProto[] parameters = [Tensors.Vector("g", TestModels.Random(4, 1)), Tensors.Vector("b", TestModels.Random(4, 2))];
        foreach (var unknown in (bool[])[false, true])
        {
            var norm = Node("GroupNormalization", ["x", "g", "b"], "y").With("num_groups", 4L).With("epsilon", 1e-3f);
            BeforeAndAfter.Of(norm).Input("x", [2, 12, 3, 3], unknown).Constant(parameters).HoldsEverywhere(18, 21, 25);
        }
    }

    [TestMethod]
    public void Upsample_and_Resize_keep_their_pixels()
    {
        foreach (var mode in (string[])["nearest", "linear"])
        {
            BeforeAndAfter.Of(Node("Upsample", ["x"], "y").Text("mode", mode).Floats("scales", 1, 1, 2, 2)).Input("x", [2, 3, 4, 5]).HoldsEverywhere(7, 9, 10, 11, 13, 18, 25);
            BeforeAndAfter.Of(Node("Upsample", ["x"], "y").Text("mode", mode).Floats("scales", 1, 1, 2.6f, 1.3f)).Input("x", [1, 2, 4, 5]).Holds(8, 13);
            foreach (var scales in (float[][])[[1, 1, 3, 2], [1, 1, 0.5f, 0.4f], [1, 1, 0.6f, 1.7f], [1, 1, 1, 1]])
            {
                foreach (var constant in (bool[])[true, false])
                {
                    if (scales.All(s => s >= 1))
                        Resize("Upsample", mode, scales, constant).HoldsEverywhere(9, 10, 11, 13, 21);
                    Resize("Resize", mode, scales, constant).HoldsEverywhere(10, 11, 13, 18, 19, 25);
                }
            }
        }
        BeforeAndAfter.Of(Node("Upsample", ["x"], "y").Floats("scales", 1, 1, 2)).Input("x", [2, 3, 4]).Holds(7, 13);

        static BeforeAndAfter Resize(string op, string mode, float[] scales, bool constant)
        {
            var test = BeforeAndAfter.Of(Node(op, ["x", "s"], "y").Text("mode", mode)).Input("x", [2, 3, 10, 7]);
            return constant ? test.Constant(Tensors.Vector("s", scales)) : test.Values("s", scales, 4);
        }
    }

    [TestMethod]
    public void Resize_with_TensorFlows_half_pixels_is_half_pixel_rounded_up()
    {
        foreach (var size in (long[])[3, 5, 9, 14, 20])
        {
            BeforeAndAfter.Of(Node("Resize", ["x", "roi", "none", "sizes"], "y").Text("mode", "nearest").Text("nearest_mode", "floor").Text("coordinate_transformation_mode", "tf_half_pixel_for_nn"))
                .Input("x", [1, 2, 7, 10]).Constant(Tensors.Vector<float>("roi"), Tensors.Vector<float>("none"), Tensors.Vector("sizes", 1, 2, size, 13)).HoldsEverywhere(11, 13, 18, 25);
        }
        Refused(11, 13, "tf_half_pixel_for_nn", Node("Resize", ["x", "", "s"], "y").Text("mode", "linear").Text("coordinate_transformation_mode", "tf_half_pixel_for_nn"));
    }

    [TestMethod]
    public void GridSample_modes_have_other_names()
    {
        foreach (var mode in (string?[])[null, "bilinear", "bicubic", "nearest"])
        {
            var node = Node("GridSample", ["x", "g"], "y").With("align_corners", 1L);
            BeforeAndAfter.Of(mode is null ? node : node.Text("mode", mode)).Input("x", [1, 2, 4, 4]).Input("g", [1, 3, 3, 2]).HoldsEverywhere(16, 19, 20, 22, 25);
        }
    }

    [TestMethod]
    public void RoiAlign_does_not_shift()
    {
        var rois = new[] { 0, 0, 4.3f, 5.1f, 1, 2, 6, 7.5f };
        foreach (var mode in (string?[])[null, "half_pixel"])
        {
            var node = Node("RoiAlign", ["x", "r", "b"], "y").With("output_height", 3L).With("output_width", 2L).With("sampling_ratio", 2L);
            if (mode is not null)
                node.Text("coordinate_transformation_mode", mode);
            BeforeAndAfter.Of(node).Input("x", [1, 2, 8, 8]).Values("r", rois, 2, 4).Constant(Tensors.Vector("b", 0L, 0L)).HoldsEverywhere(mode is null ? 10 : 16, 13, 16, 21);
        }
    }

    [TestMethod]
    public void Operators_that_only_take_more_types_pass_as_they_are()
    {
        var test = BeforeAndAfter.Of(
            Node("Conv", ["x", "w"], "c").Ints("pads", 1, 1, 1, 1), Node("MaxPool", ["c"], "y_max").Ints("kernel_shape", 2, 2).Ints("strides", 2, 2), Node("AveragePool", ["c"], "p").Ints("kernel_shape", 3, 3).Ints("pads", 1, 1, 1, 1),
            Node("Flatten", ["p"], "f"), Node("Gemm", ["f", "m", "b"], "g").With("transB", 1L), Node("LeakyRelu", ["g"], "l"), Node("Add", ["l", "b"], "s"), Node("Pow", ["s", "two"], "y"), Node("PRelu", ["s", "b"], "y_prelu"), Node("ArgMax", ["s"], "y_arg").With("axis", 1L))
            .Input("x", [2, 3, 6, 6]).Constant(Tensors.Create("w", TestModels.Random(4 * 27, 3), 4, 3, 3, 3), Tensors.Create("m", Array.ConvertAll(TestModels.Random(5 * 144, 4), v => v / 16), 5, 144), Tensors.Vector("b", TestModels.Random(5, 5)), Tensors.Scalar("two", 2f));
        foreach (var from in (long[])[7, 11, 17])
            test.HoldsEverywhere(from, s_targets);
    }

    [TestMethod]
    public void Recurrent_networks_pass_as_they_are()
    {
        foreach (var (op, gates) in ((string, int)[])[("RNN", 1), ("GRU", 3), ("LSTM", 4)])
        {
            BeforeAndAfter.Of(Node(op, ["x", "w", "r", "b"], "y", "y_h").With("hidden_size", 4L)).Input("x", [5, 2, 3])
                .Constant(Tensors.Create("w", TestModels.Random(gates * 12, 1), 1, gates * 4, 3), Tensors.Create("r", TestModels.Random(gates * 16, 2), 1, gates * 4, 4), Tensors.Create("b", TestModels.Random(gates * 8, 3), 1, gates * 8))
                .HoldsEverywhere(7, 13, 14, 21, 25);
        }
    }

    [TestMethod]
    public void A_change_without_an_adapter_is_refused_by_name()
    {
        var error = Refused(8, 13, "batch axis", Node("Scan", ["", "x"], "y").With("num_scan_inputs", 1L));
        StringAssert.Contains(error.Message, "'scan'");
        StringAssert.Contains(error.Message, "opset 9");
        Refused(6, 13, "7 is the oldest", Node("Relu", ["x"], "y"));
    }

    [TestMethod]
    public void A_model_that_is_new_enough_is_returned_itself()
    {
        var model = new OnnxModel(BeforeAndAfter.Of(Node("Relu", ["x"], "y")).Input("x", [2]).Model(21), "test.onnx", []);
        Assert.AreSame(model, OpsetUpgrade.To(model, 17));
        Assert.AreSame(model, OpsetUpgrade.To(model, 21));
    }

    [TestMethod]
    public void Formats_need_the_operator_sets_that_brought_them()
    {
        long Needed(string weights, string activations, int? block = null, string precision = "int8") =>
            OpsetUpgrade.Needed(new Recipe { Name = "x", Precision = precision, Weights = weights, Activations = activations, BlockSize = block });
        Assert.AreEqual(13, Needed("int8", "int8"));
        Assert.AreEqual(13, Needed("int8", "int8-dynamic", 0));
        Assert.AreEqual(21, Needed("int8", "float", 64));
        Assert.AreEqual(19, Needed("fp8", "fp8"));
        Assert.AreEqual(21, Needed("int4", "fp8"));
        Assert.AreEqual(23, Needed("nvfp4", "nvfp4"));
        Assert.AreEqual(25, Needed("int2", "float"));
        Assert.AreEqual(7, Needed("float", "float", precision: "none"));
    }

    internal static TensorProto[] Statistics(params long[] dims)
    {
        var count = (int)dims.Aggregate(1L, (a, b) => a * b);
        return
        [
            Tensors.Create("g", TestModels.Random(count, 1), dims), Tensors.Create("b", TestModels.Random(count, 2), dims), Tensors.Create("m", TestModels.Random(count, 3), dims),
            Tensors.Create("v", Array.ConvertAll(TestModels.Random(count, 4), v => Math.Abs(v) + 0.1f), dims),
        ];
    }

    private static QuantSdkException Refused(long from, long to, string why, params NodeProto[] nodes)
    {
        var model = new OnnxModel(BeforeAndAfter.Of(nodes).Input("x", [2, 3]).Model(from), "test.onnx", []);
        var error = Assert.ThrowsExactly<QuantSdkException>(() => OpsetUpgrade.To(model, to));
        Assert.AreEqual("QSDK3001", error.Code);
        StringAssert.Contains(error.Message, why);
        return error;
    }
}
