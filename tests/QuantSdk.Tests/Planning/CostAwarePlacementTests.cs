using QuantSdk.Calibration;
using QuantSdk.Engines;
using QuantSdk.Onnx;
using QuantSdk.Planning;
using QuantSdk.Recipes;
using QuantSdk.Tests.Onnx;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Tests.Planning;

/// <summary>Cost-aware placement on made-up times, against the least of all subsets.</summary>
[TestClass]
public sealed class CostAwarePlacementTests
{
    private const string Vnni = "x64:avx2,fma,avx512f,avx512dq,avx512bw,avx512vl,avx512vnni";

    [TestMethod]
    [DataRow(Vnni, "avx512-vnni")]
    [DataRow(Vnni + ",amx-tile,amx-int8", "amx")]
    [DataRow("x64:avx2,fma,avx512f", "avx512")]
    [DataRow("x64:avx2,fma,avx_vnni", "avx2-vnni")]
    [DataRow("x64:avx2,fma", "avx2")]
    [DataRow("x64:", "x64")]
    [DataRow("arm64:neon,dot", "neon-dot")]
    [DataRow("arm64:neon", "neon")]
    [DataRow("riscv64:", "other")]
    public void A_CPU_has_the_class_of_its_best_byte_products(string features, string expected) => Assert.AreEqual(expected, CpuClass.Of(features));

    [TestMethod]
    public void The_shipped_table_is_whole_and_says_what_this_repository_claims()
    {
        var table = CostTable.Shipped("avx512-vnni")!;
        Assert.IsTrue(table.IsWhole);
        Assert.AreEqual("avx512-vnni", table.CpuClass);
        Assert.IsNull(CostTable.Shipped("other"));
        // Its model is near to what was measured.
        foreach (var kernel in (string[])[CostKernels.LinearFloat, CostKernels.LinearInt8, CostKernels.ConvFloat, CostKernels.ConvInt8])
        {
            var measured = CostMeasurement.Grid.Where(s => CostKernels.Of(s, kernel.EndsWith("int8", StringComparison.Ordinal)) == kernel).ToArray();
            var errors = measured.Select(s => Math.Abs(table.Modelled(kernel, s) / table.Microseconds(kernel, s) - 1)).Order().ToArray();
            Assert.IsLessThan(0.25, errors[errors.Length / 2], kernel);
        }
    }

    [TestMethod]
    public void A_fit_finds_the_coefficients_that_times_were_made_of()
    {
        double[] truth = [0.5, 20, 0, 3, 0.25];
        var rows = CostMeasurement.Grid.Where(s => s.Kind == WorkShape.Linear).Select(s => (s.Features(), s.Features().Zip(truth, (f, c) => f * c).Sum())).ToArray();
        var found = CostFit.Coefficients(rows);
        for (var i = 0; i < truth.Length; i++)
            Assert.AreEqual(truth[i], found[i], 0.01 * Math.Max(1, truth[i]));
    }

    [TestMethod]
    public void A_measured_time_goes_before_the_model()
    {
        var shape = new WorkShape(WorkShape.Linear, 128, 64, 64, Bias: true);
        var table = Table() with { Measured = [new MeasuredCost(CostKernels.LinearInt8, "128x64x64b", 7.5)] };
        Assert.AreEqual(7.5, table.Microseconds(CostKernels.LinearInt8, shape));
        Assert.AreNotEqual(7.5, table.Microseconds(CostKernels.LinearInt8, shape with { Bias = false }));
    }

    /// <summary>Times per million features that make each move matter differently.</summary>
    public static IEnumerable<object[]> Prices =>
        from quantise in (double[])[0.1, 5, 40]
        from int8 in (double[])[0.3, 0.9, 1.2]
        from layout in (double[])[0.1, 10]
        select new object[] { quantise, int8, layout };

    [TestMethod]
    [DynamicData(nameof(Prices))]
    public void No_subset_of_the_layers_is_predicted_to_be_faster(double quantise, double int8, double layout)
    {
        var (model, placement, calibration) = Network();
        var table = Table(quantise, int8, layout);
        var view = new GraphView(model.Graph);
        var layers = placement.Layers.ToArray();
        var costs = new CostModel(view, layers, CostAwarePlacement.Shapes(view, placement, calibration, 2), calibration, table, 2);
        var least = Enumerable.Range(0, 1 << layers.Length).Min(bits => costs.Total([.. Enumerable.Range(0, layers.Length).Select(i => (bits >> i & 1) != 0)]));
        Assert.AreEqual(least, costs.Total(costs.Cheapest()), 1e-9);
    }

    [TestMethod]
    public void Neighbours_in_int8_need_nothing_in_between_and_one_tensor_is_quantised_once()
    {
        var (model, placement, calibration) = Network();
        var view = new GraphView(model.Graph);
        var layers = placement.Layers.ToArray();
        // Kernels and changes of layout cost nothing: what is left is quantising and dequantising, one microsecond a call.
        var table = Table(0, 0, 0) with { Kernels = CostKernels.All.ToDictionary(k => k, k => (IReadOnlyList<double>)(k is CostKernels.Quantize or CostKernels.Dequantize ? [1, 0] : new double[CostKernels.FeaturesOf(k)])) };
        var costs = new CostModel(view, layers, CostAwarePlacement.Shapes(view, placement, calibration, 1), calibration, table, 1);
        double Total(params string[] int8) => costs.Total([.. layers.Select(l => int8.Contains(l.Node.Name))]);
        Assert.AreEqual(0, Total());
        Assert.AreEqual(2, Total("conv1"), "quantised before, dequantised behind");
        Assert.AreEqual(2, Total("conv1", "conv2"), "the codes of one are those of the next");
        Assert.AreEqual(1, Total("q"));
        Assert.AreEqual(1, Total("q", "k", "v"), "they read one tensor");
        Assert.AreEqual(3, Total("conv2", "q", "k"));
    }

    [TestMethod]
    public void What_does_not_pay_is_kept_with_both_predictions_and_still_counts()
    {
        var (model, placement, calibration) = Network();
        var kept = CostAwarePlacement.Decide(model, placement, calibration, Table(quantise: 1e4, int8: 0.5, layout: 1), "test", 2);
        Assert.IsEmpty(kept.Placement.Layers);
        Assert.HasCount(placement.Layers.Count, kept.Costs);
        foreach (var reason in kept.Placement.Kept)
        {
            StringAssert.Matches(reason.Reason, new("would be slower in int8 on this CPU \\(predicted [0-9.]+ µs against [0-9.]+ µs\\)"));
            Assert.IsFalse(reason.BuiltIn);
            Assert.IsGreaterThan(0, reason.Macs);
        }
        Assert.IsTrue(kept.Costs.All(c => c.Format == "float" && c.Int8Microseconds > c.FloatMicroseconds));
        var all = CostAwarePlacement.Decide(model, placement, calibration, Table(quantise: 0.01, int8: 0.5, layout: 0.01), "test", 2);
        Assert.HasCount(placement.Layers.Count, all.Placement.Layers);
    }

    [TestMethod]
    public void Nothing_is_taken_out_for_size_or_for_another_target()
    {
        var (model, placement, calibration) = Network();
        var recipe = new Recipe { Name = "test" };
        int Layers(Recipe r) => CostAwarePlacement.Decide(model, placement, calibration, r, Table(quantise: 1e4), Vnni).Placement.Layers.Count;
        Assert.AreEqual(0, Layers(recipe));
        Assert.AreEqual(placement.Layers.Count, Layers(recipe with { OptimizeFor = "size" }));
        Assert.AreEqual(placement.Layers.Count, Layers(recipe with { Targets = ["tensorrt-onnx"] }));
    }

    [TestMethod]
    public void Without_times_small_layers_stay_in_float_and_the_reason_says_why()
    {
        var (model, placement, calibration) = Network();
        var decided = CostAwarePlacement.Decide(model, placement, calibration, new Recipe { Name = "test" }, null, "x64:avx2,fma");
        Assert.IsEmpty(decided.Placement.Layers);
        Assert.IsTrue(decided.Placement.Kept.All(k => k.Reason.Contains("no times of class avx2 are known", StringComparison.Ordinal)));
        Assert.IsEmpty(decided.Costs);
    }

    [TestMethod]
    public void Layers_kept_for_their_cost_lower_the_int8_share()
    {
        var tensor = new TensorPlan("x", "int8", 0, 1, 1);
        var plan = new Plan(2, [], [new LayerPlan("a", "MatMul", "", tensor, new WeightPlan("w", "int8", 1), null, null, 300)], [new Kept("b", "MatMul", "", "would be slower", false, 100), new Kept("c", "Conv", "", "reads the sample", true, 600)]);
        var graph = TestModels.Create([], ["y"], [], Nodes.Create("MatMulIntegerToFloat", "a", ["x_q", "w_q"], ["y"], "com.microsoft"));
        Assert.AreEqual(0.75, FusedLayers.Count(new OnnxModel(graph, "test.onnx", []), plan).MacShare);
    }

    /// <summary>conv1 → relu → conv2 → sigmoid → tokens → q, k, v.</summary>
    private static (OnnxModel, Placement, CalibrationTable) Network()
    {
        var nodes = new List<NodeProto>
        {
            Nodes.Create("Conv", "conv1", ["x", "w1"], ["c1"]).With("kernel_shape", 3, 3).With("pads", 1, 1, 1, 1),
            Nodes.Create("Relu", "relu", ["c1"], ["r1"]),
            Nodes.Create("Conv", "conv2", ["r1", "w2"], ["c2"]).With("kernel_shape", 1, 1),
            Nodes.Create("Softmax", "softmax", ["c2"], ["s"]).With("axis", 1L),
            Nodes.Create("Reshape", "tokens", ["s", "shape"], ["t"]),
        };
        List<TensorProto> initializers =
        [
            Tensors.Create("w1", TestModels.Random(16 * 8 * 9, 1), 16, 8, 3, 3), Tensors.Create("w2", TestModels.Random(16 * 16, 2), 16, 16, 1, 1), Tensors.Vector("shape", 0L, 64, 16),
        ];
        foreach (var name in (string[])["q", "k", "v"])
        {
            initializers.Add(Tensors.Create("w_" + name, TestModels.Random(16 * 24, name[0]), 16, 24));
            nodes.Add(Nodes.Create("MatMul", name, ["t", "w_" + name], ["out_" + name]));
        }
        var proto = TestModels.Create([TestModels.Input("x", DataType.Float, -1, 8, 8, 8)], ["out_q", "out_k", "out_v"], initializers, [.. nodes]);
        var model = new OnnxModel(proto, "test.onnx", []);
        var view = new GraphView(proto.Graph);
        var layers = proto.Graph.Node.Where(Placement.IsProduct).Select(n => Placement.Candidate(view, n, "").Layer!).ToArray();
        TensorCalibration Of(string name, long elements) => new(name, 0, 1, 0, 1, 1, elements);
        var calibration = new CalibrationTable(1, "max", 1, [Of("x", 512), Of("r1", 1024), Of("c2", 1024), Of("t", 1024)]);
        return (model, new Placement([], layers, []), calibration);
    }

    private static CostTable Table(double quantise = 1, double int8 = 0.5, double layout = 1) => new(1, "test", 1, CostKernels.All.ToDictionary(k => k, k => (IReadOnlyList<double>)(k switch
    {
        CostKernels.Quantize or CostKernels.Dequantize => [quantise * 0.1, quantise * 100],
        CostKernels.Transpose or CostKernels.Reorder => [layout * 0.1, layout * 100],
        _ => [.. Enumerable.Repeat(k.EndsWith("float", StringComparison.Ordinal) ? 20.0 : 20 * int8, CostKernels.FeaturesOf(k) - 1).Prepend(0.5)],
    })), []);
}
