using QuantSdk.Calibration;
using QuantSdk.Engines;
using QuantSdk.Engines.TensorRt.Rules;
using QuantSdk.Onnx;
using QuantSdk.Onnx.Upgrading;
using QuantSdk.Planning;
using QuantSdk.Quality;
using QuantSdk.Recipes;
using QuantSdk.Rewriting;
using QuantSdk.Runtime;
using QuantSdk.Tests.Calibration;
using QuantSdk.Tests.Onnx;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Tests.Rewriting;

/// <summary>Level 4: the products of attention in fp8 too.</summary>
[TestClass]
public sealed class Fp8AttentionTests
{
    private static readonly Recipe s_recipe = new() { Name = "mmdit", Precision = "fp8", Weights = "fp8", Activations = "fp8", Level = 4, SmoothQuant = "off" };
    private static OnnxModel s_model = null!;
    private static Plan s_plan = null!;
    private static RowSource s_heldOut = null!;

    [ClassInitialize]
    public static void Calibrate(TestContext context)
    {
        using var folder = new TempFolder();
        s_model = Simplification.Simplify(OpsetUpgrade.To(OnnxFile.Load(Repository.Mmdit("transformer.onnx")), 21));
        var placement = Placement.Decide(s_model, s_recipe, Roles.Find(s_model, s_recipe));
        var observers = new Observers(placement.Tensors, RangeEstimator.Create(s_recipe with { Calibrator = "max" }), 2);
        using var observed = ObservedModel.Open(s_model, placement.Tensors, folder.Path, 2);
        var feed = Feed.Fit(CalibrationFiles.Read([Rows(observed.Session.Inputs, 16, folder)], null), observed.Session.Inputs, "mmdit");
        new RowSource(feed.Slice(0, 12)).Run(observed.Session, observed.BatchFor, observers.Observe, null, default);
        s_plan = Planner.Make(s_model, placement, observers.Finish("max", "mmdit"), s_recipe, null);
        s_heldOut = new RowSource(feed.Slice(12, 4));
    }

    [TestMethod]
    public void Attention_in_fp8_loses_little_more_than_the_layers_do()
    {
        Assert.HasCount(s_model.Graph.Node.Count(n => n.OpType == "Softmax"), s_plan.Attention.ToArray());
        var level3 = Sqnr("sim", s_plan with { Attention = [] });
        var level4 = Sqnr("sim", s_plan);
        Assert.AreEqual(level3, level4, 1.5);
        Assert.AreNotEqual(level3, level4, 1e-4, "the products are quantised");
        // One rounding that falls the other way early in the network moves many behind it.
        Assert.AreEqual(level4, Sqnr("tensorrt", s_plan), 0.2);
        // Only the products: their own error, which the layers' would hide.
        var products = Sqnr("sim", s_plan with { Layers = [] });
        Assert.IsGreaterThan(level3, products);
        Assert.AreEqual(products, Sqnr("tensorrt", s_plan with { Layers = [] }), 0.2);
    }

    [TestMethod]
    public void TensorRT_reads_all_four_operands_from_E4M3_pairs()
    {
        var model = Lowering.Lower(s_model, s_plan, "tensorrt");
        var view = new GraphView(model.Graph);
        foreach (var attention in s_plan.Attention)
        {
            foreach (var (name, tensor, operand) in ((string, TensorPlan, int)[])[(attention.Scores, attention.Q, 0), (attention.Scores, attention.K, 1), (attention.Output, attention.Probabilities, 0), (attention.Output, attention.V, 1)])
            {
                var product = model.Graph.Node.Single(n => n.Name == name);
                var dequantise = view.Producer(product.Input[operand])!;
                var quantise = view.Producer(dequantise.Input[0])!;
                Assert.AreEqual("DequantizeLinear", dequantise.OpType);
                Assert.AreEqual("QuantizeLinear", quantise.OpType);
                Assert.AreEqual(tensor.Tensor, quantise.Input[0]);
                Assert.AreEqual((int)DataType.Float8E4M3Fn, view.Initializer(quantise.Input[2])!.DataType);
                Assert.AreEqual(tensor.Amax / 448, view.Initializer(quantise.Input[1])!.ToFloats().Single(), 1e-9);
            }
            Assert.AreEqual(1, attention.Probabilities.Amax, "the Softmax gives 1 at most");
            Assert.AreEqual("Softmax", view.Producer(attention.Probabilities.Tensor)!.OpType);
        }
    }

    [TestMethod]
    public void In_fp16_the_products_sum_in_fp32_between_the_Casts_that_TensorRT_looks_for()
    {
        var lowered = Lowering.Lower(s_model, s_plan, "tensorrt");
        var half = HalfPrecision.Convert(lowered, new Dictionary<string, float>(), "fp16").Model;
        var (view, types) = (new GraphView(half.Graph), ElementTypes.Of(half));
        foreach (var product in s_plan.Attention.SelectMany(a => (string[])[a.Scores, a.Output]).Select(n => half.Graph.Node.Single(p => p.Name == n)))
        {
            foreach (var operand in product.Input)
            {
                var cast = view.Producer(operand)!;
                Assert.AreEqual("Cast", cast.OpType);
                Assert.AreEqual("DequantizeLinear", view.Producer(cast.Input[0])!.OpType);
                Assert.AreEqual((int)DataType.Float16, types[cast.Input[0]]);
            }
            Assert.AreEqual((int)DataType.Float, types[product.Output[0]]);
            var back = view.OnlyConsumer(product.Output[0])!;
            Assert.AreEqual("Cast", back.OpType);
            Assert.AreEqual((int)DataType.Float16, types[back.Output[0]]);
        }
        Assert.IsEmpty(GraphRules.Check(half));
    }

    [TestMethod]
    public void The_plan_survives_its_file()
    {
        var read = QuantSdkJson.Read<Plan>(QuantSdkJson.Write(s_plan))!;
        CollectionAssert.AreEqual(s_plan.Attention.ToArray(), read.Attention.ToArray());
    }

    [TestMethod]
    public void Modules_can_be_left_out()
    {
        var placement = Placement.Decide(s_model, s_recipe with { ExcludeModules = ["transformer_blocks.0.attn"] }, Roles.Find(s_model, s_recipe));
        Assert.HasCount(s_plan.Attention.Count - 1, placement.Attention.ToArray());
        Assert.AreEqual(2, placement.Kept.Count(k => k is { Op: "MatMul", Module: "transformer_blocks.0.attn", Reason: "matched by ExcludeModules" }));
    }

    [TestMethod]
    [DataRow(24, false)]
    [DataRow(32, true)]
    [DataRow(272, false)]
    public void Heads_that_no_kernel_takes_stay_in_float(int head, bool quantised)
    {
        using var folder = new TempFolder();
        var model = TestModels.Reload(
            TestModels.Create([TestModels.Input("q", DataType.Float, -1, 2, 6, head), TestModels.Input("k", DataType.Float, -1, 2, head, 6), TestModels.Input("v", DataType.Float, -1, 2, 6, head)], ["o"], [],
                Nodes.Create("MatMul", "scores", ["q", "k"], ["s"]), Nodes.Create("Softmax", "softmax", ["s"], ["p"]), Nodes.Create("MatMul", "output", ["p", "v"], ["o"])),
            folder);
        var placement = Placement.Decide(model, s_recipe, null);
        Assert.HasCount(quantised ? 1 : 0, placement.Attention.ToArray());
        Assert.AreEqual(quantised ? 0 : 2, placement.Kept.Count(k => k.Reason.Contains($"{head} channels", StringComparison.Ordinal)));
    }

    private static string Rows(IReadOnlyList<Port> ports, int rows, TempFolder folder) => NpyWriter.Npz(folder, [.. ports.Select((port, i) =>
    {
        Assert.AreEqual("float", port.Type.Name);
        long[] shape = [rows, .. port.Shape.Skip(1)];
        var values = TestModels.Random((int)shape.Aggregate(1L, (a, b) => a * b), i);
        return (port.Name, NpyWriter.Npy("<f4", shape, port.Shape.Length == 1 ? Array.ConvertAll(values, v => (v + 1) * 500) : Array.ConvertAll(values, v => v * 1.7f)));
    })]);

    private static double Sqnr(string target, Plan plan)
    {
        using var folder = new TempFolder();
        OnnxFile.Save(Lowering.Lower(s_model, plan, target), folder["model.onnx"], folder["model.data"]);
        using var reference = ModelSession.Open(Repository.Mmdit("transformer.onnx"), new SessionSettings { Threads = 2 });
        using var engine = ModelSession.Open(folder["model.onnx"], new SessionSettings { Threads = 2, DisabledOptimizers = TensorRtFormats.DisabledOptimizers, Entries = new Dictionary<string, string> { ["session.disable_quant_qdq"] = "1" } });
        return QualityCheck.Compare(reference, engine, s_heldOut, null, default)[0].SqnrDb;
    }
}
