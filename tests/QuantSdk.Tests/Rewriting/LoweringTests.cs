using Microsoft.ML.OnnxRuntime;
using QuantSdk.Calibration;
using QuantSdk.Engines;
using QuantSdk.Onnx;
using QuantSdk.Planning;
using QuantSdk.Quality;
using QuantSdk.Recipes;
using QuantSdk.Rewriting;
using QuantSdk.Runtime;
using QuantSdk.Tests.Onnx;
using QuantSdk.Tests.Quality;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Tests.Rewriting;

/// <summary>The classifier through every lowering: structure against the targets' rules, values against the float model.</summary>
[TestClass]
public sealed class LoweringTests
{
    private static OnnxModel s_model = null!;
    private static Plan s_plan = null!;
    private static RowSource s_heldOut = null!;

    [ClassInitialize]
    public static void Calibrate(TestContext context)
    {
        using var folder = new TempFolder();
        s_model = Simplification.Simplify(OnnxFile.Load(Repository.Digits("digits_cnn.onnx")));
        var recipe = new Recipe { Name = "cnn" };
        var placement = Placement.Decide(s_model, recipe, null);
        var observers = new Observers(placement.Tensors, RangeEstimator.Create(new Recipe { Name = "cnn" }), 2);
        using var observed = ObservedModel.Open(s_model, placement.Tensors, folder.Path, 2);
        var feed = Feed.Fit(CalibrationFiles.Read([Repository.Digits("digits_calib.npz")], "image"), observed.Session.Inputs, "cnn");
        var channels = new ChannelObservers(placement.Channels(s_model), 2);
        void Seen(ModelBinding binding, int rows, BatchKey key)
        {
            observers.Observe(binding, rows, key);
            channels.Observe(binding, rows);
        }
        new RowSource(feed.Slice(0, 200)).Run(observed.Session, observed.BatchFor, Seen, null, default);
        s_plan = Planner.Make(s_model, placement, observers.Finish("mse", "cnn"), recipe, channels.Finish());
        s_heldOut = new RowSource(feed.Slice(200, 56));
    }

    [TestMethod]
    public void Every_layer_of_the_plan_is_fused_on_the_cpu()
    {
        using var folder = new TempFolder();
        Save("cpu", folder);
        OrtEngine.Optimise(folder["cpu.onnx"], folder["optimised.onnx"], 2);
        var fused = FusedLayers.Count(OnnxFile.Load(folder["optimised.onnx"]), s_plan);
        Assert.IsEmpty(fused.Float);
        Assert.HasCount(13, fused.Fused);
        Assert.AreEqual(1, fused.MacShare);
    }

    [TestMethod]
    public void A_float_layer_is_not_counted_as_fused()
    {
        // The form Model Optimizer exports: no Q on the output, so convolutions that no quantised layer follows stay in float.
        using var folder = new TempFolder();
        Save("sim", folder);
        OrtEngine.Optimise(folder["sim.onnx"], folder["optimised.onnx"], 2);
        var fused = FusedLayers.Count(OnnxFile.Load(folder["optimised.onnx"]), s_plan);
        Assert.IsNotEmpty(fused.Float);
        Assert.IsLessThan(0.9, fused.MacShare);
    }

    [TestMethod]
    public void Weights_are_stored_as_int8_without_a_float_copy()
    {
        foreach (var target in (string[])["cpu", "tensorrt", "sim"])
        {
            var graph = Lowering.Lower(s_model, s_plan, target).Graph;
            foreach (var layer in s_plan.Layers)
            {
                Assert.IsFalse(graph.Initializer.Any(t => t.Name == layer.Weight.Tensor), layer.Weight.Tensor);
                Assert.AreEqual((int)DataType.Int8, graph.Initializer.Single(t => t.Name == layer.Weight.Tensor + "_q").DataType);
            }
        }
    }

    [TestMethod]
    public void The_tensorrt_form_keeps_its_rules()
    {
        var graph = Lowering.Lower(s_model, s_plan, "tensorrt").Graph;
        var view = new GraphView(graph);
        foreach (var node in graph.Node.Where(n => n.OpType is "QuantizeLinear" or "DequantizeLinear"))
        {
            Assert.HasCount(3, node.Input, "an explicit zero point");
            var zero = view.Initializer(node.Input[2])!;
            Assert.AreEqual((int)DataType.Int8, zero.DataType);
            Assert.IsTrue(zero.RawData.All(b => b == 0), "symmetric");
            var scale = view.Initializer(node.Input[1])!;
            Assert.IsTrue(scale.ToFloats().All(s => s > 0 && float.IsNormal(s)));
            Assert.AreEqual(scale.Dims.Count, zero.Dims.Count);
            if (scale.Dims.Count == 1)
                Assert.AreEqual(s_plan.Layers.First(l => l.Weight.Tensor + "_q" == node.Input[0]).Weight.Axis, node.Attribute("axis")!.I, "an explicit axis");
        }
        // Both inputs of every quantised layer, and no output.
        foreach (var layer in s_plan.Layers)
        {
            var node = graph.Node.Single(n => n.Name == layer.Node);
            Assert.AreEqual("DequantizeLinear", view.Producer(node.Input[0])!.OpType);
            Assert.AreEqual("DequantizeLinear", view.Producer(node.Input[1])!.OpType);
            if (layer.Bias is not null)
                Assert.AreEqual((int)DataType.Float, view.Initializer(node.Input[2])!.DataType, "bias in float");
        }
        foreach (var pair in graph.Node.Where(n => n.OpType == "QuantizeLinear").GroupBy(n => n.Input[0]))
            Assert.HasCount(1, pair, "one pair a tensor");
    }

    [TestMethod]
    public void An_Add_behind_a_convolution_shares_the_pair_of_the_residual_for_TensorRT_alone()
    {
        using var folder = new TempFolder();
        TensorProto Weight(string name, int seed) => Tensors.Create(name, TestModels.Random(64 * 64 * 9, seed), 64, 64, 3, 3);
        NodeProto Convolution(string name, string weight, string input, string output) => Nodes.Create("Conv", name, [input, weight], [output]).With("pads", 1, 1, 1, 1);
        TestModels.Reload(TestModels.Create([TestModels.Input("x", DataType.Float, -1, 64, 8, 8)], ["y"], [Weight("w0", 1), Weight("w1", 2), Weight("w2", 3)],
            Convolution("c0", "w0", "x", "a"), Nodes.Create("Relu", "r0", ["a"], ["t"]), Convolution("c1", "w1", "t", "b"), Nodes.Create("Add", "add", ["t", "b"], ["s"]), Nodes.Create("Relu", "r1", ["s"], ["u"]), Convolution("c2", "w2", "u", "y")), folder);
        using var calibrated = CalibratedPlan.Of(folder["model.onnx"], folder, new() { ["CalibrationData"] = "random", ["SmoothQuant"] = "off", ["Targets"] = "tensorrt-onnx" });
        CollectionAssert.Contains(calibrated.Plan.Layers.Select(l => l.Node).ToArray(), "c1");
        foreach (var target in (string[])["tensorrt", "sim"])
        {
            var graph = Lowering.Lower(calibrated.Model, calibrated.Plan, target).Graph;
            var (convolution, add) = (graph.Node.Single(n => n.Name == "c1"), graph.Node.Single(n => n.Name == "add"));
            Assert.AreEqual(target == "tensorrt" ? convolution.Input[0] : "t", add.Input[0]);
        }
    }

    [TestMethod]
    public void Doubles_become_floats_for_TensorRT()
    {
        var model = TestModels.Create([TestModels.Input("x", DataType.Float, -1, 4)], ["y"], [Tensors.Vector("table", 1.5, 2.5, 3.5, 4.5)],
            Nodes.Create("Cast", "wide", ["x"], ["w"]).With("to", (long)DataType.Double), Nodes.Create("Mul", "mul", ["w", "table"], ["m"]), Nodes.Create("Cast", "narrow", ["m"], ["y"]).With("to", (long)DataType.Float));
        var narrow = model.Clone();
        Doubles.Narrow(narrow.Graph);
        Assert.IsFalse(ElementTypes.Of(narrow).ContainsValue((int)DataType.Double));
        Assert.IsGreaterThan(120, RandomRuns.Sqnr(RandomRuns.Run(model), RandomRuns.Run(narrow)));
        model.Graph.Input[0] = TestModels.Input("x", DataType.Double, -1, 4);
        Doubles.Narrow(model.Graph);
        Assert.IsTrue(ElementTypes.Of(model).ContainsValue((int)DataType.Double), "callers feed them");
    }

    [TestMethod]
    public void Every_lowering_is_close_to_float_and_tensorrt_within_3_dB_of_cpu()
    {
        using var folder = new TempFolder();
        using var reference = ModelSession.Open(s_model.Path, new SessionSettings { Threads = 2 });
        double Sqnr(string target, SessionSettings settings)
        {
            Save(target, folder);
            using var engine = ModelSession.Open(folder[target + ".onnx"], settings);
            return QualityCheck.Compare(reference, engine, s_heldOut, null, default)[0].SqnrDb;
        }

        var unfused = new SessionSettings { Threads = 2, Entries = new Dictionary<string, string> { ["session.disable_quant_qdq"] = "1" } };
        var cpu = Sqnr("cpu", new SessionSettings { Threads = 2, DisabledOptimizers = CpuLowering.DisabledOptimizers });
        var cpuUnfused = Sqnr("cpu", unfused);
        var tensorRt = Sqnr("tensorrt", unfused);
        var sim = Sqnr("sim", unfused);
        Assert.IsGreaterThan(32, cpu);
        Assert.AreEqual(cpuUnfused, cpu, 0.5, "int8 kernels compute what the graph says");
        Assert.IsGreaterThan(cpu - 3, tensorRt);
        // Outputs by channel cost the cpu next to nothing, and it centres what it can.
        Assert.IsGreaterThan(cpu - 1, sim);
    }

    [TestMethod]
    public void The_tensorrt_form_passes_the_full_checks_of_ONNX_Runtime_at_every_level()
    {
        using var folder = new TempFolder();
        Save("tensorrt", folder);
        foreach (var level in Enum.GetValues<GraphOptimizationLevel>())
            ModelSession.Open(folder["tensorrt.onnx"], new SessionSettings { Optimisation = level, Entries = new Dictionary<string, string> { ["session.disable_quant_qdq"] = "1" } }).Dispose();
    }

    private static void Save(string target, TempFolder folder) => OnnxFile.Save(Lowering.Lower(s_model, s_plan, target), folder[target + ".onnx"], folder[target + ".data"]);
}
