using System.Numerics.Tensors;
using Microsoft.ML.OnnxRuntime;
using QuantSdk.Onnx;
using QuantSdk.Planning;
using QuantSdk.Quality;
using QuantSdk.Rewriting;
using QuantSdk.Runtime;
using QuantSdk.Tests.Onnx;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Tests.Quality;

[TestClass]
public sealed class SensitivityCheckTests
{
    [TestMethod]
    [DataRow("cnn")]
    [DataRow("mmdit")]
    public void The_sum_of_single_errors_predicts_the_error_of_all_together(string model)
    {
        using var folder = new TempFolder();
        using var calibrated = Calibrate(model, folder);
        var sensitivity = calibrated.Measure(folder);
        Console.WriteLine($"{model}: predicted {sensitivity.PredictedSqnrDb} dB, measured {sensitivity.SqnrDb} dB, {sensitivity.Groups.Count} groups of {calibrated.Plan.Layers.Count} layers, {sensitivity.Rows} rows");
        foreach (var group in sensitivity.Groups)
        {
            Console.WriteLine($"  {group.SqnrDb:f1} dB {group.Macs} {group.BytesSaved} {string.Join(", ", group.Layers)}");
            Assert.IsGreaterThan(0, group.Error, group.Module);
        }
        Assert.AreEqual(sensitivity.SqnrDb, sensitivity.PredictedSqnrDb, 3, "a factor of 2");
        Assert.AreEqual(calibrated.Plan.Layers.Count, sensitivity.Groups.Sum(g => g.Layers.Count));
        Assert.AreEqual(calibrated.Plan.Layers.Sum(l => l.Macs), sensitivity.Groups.Sum(g => g.Macs));
        if (model == "mmdit")
            Assert.IsTrue(sensitivity.Groups.Any(g => g.Layers.Count >= 3), "Q, K and V are one group");
    }

    [TestMethod]
    [DataRow("cnn")]
    [DataRow("mmdit")]
    public void Switches_off_is_the_float_model_and_one_switch_on_is_the_simulation_of_its_group(string model)
    {
        using var folder = new TempFolder();
        using var calibrated = Calibrate(model, folder);
        var groups = LayerGroups.Of(calibrated.Plan.Layers);
        var switched = SwitchedLowering.Lower(calibrated.Model, calibrated.Plan, groups, null);
        float[] Switched(Predicate<int> on) => Run(switched.Proto, folder, (switched.Switches, ModelTensor.Create(Enumerable.Range(0, groups.Count).Select(g => on(g)).ToArray(), groups.Count)));
        var exact = Run(calibrated.Model.Proto.Clone(), folder, null);
        CollectionAssert.AreEqual(exact, Switched(_ => false));
        for (var g = 0; g < groups.Count; g += 1 + groups.Count / 12)
        {
            var expected = Run(SimLowering.Lower(calibrated.Model, calibrated.Plan with { Layers = groups[g] }, null), folder, null);
            Same(expected, Switched(i => i == g), groups[g][0].Node);
            CollectionAssert.AreNotEqual(exact, expected);
        }
        Same(Run(SimLowering.Lower(calibrated.Model, calibrated.Plan, null), folder, null), Switched(_ => true), "all");

        // Within the whole model smoothing may be part of the norm before, alone it is a product: what lies between two codes may fall to either side.
        // Without norms there is no such difference.
        void Same(float[] expected, float[] actual, string what)
        {
            if (model == "cnn")
                CollectionAssert.AreEqual(expected, actual, what);
            Assert.IsLessThan(0.05f * TensorPrimitives.Distance<float>(exact, expected), TensorPrimitives.Distance<float>(expected, actual), what);
        }
    }

    [TestMethod]
    public void A_layer_whose_input_has_an_outlier_comes_first()
    {
        using var folder = new TempFolder();
        using var calibrated = CalibratedPlan.Of(Chain(folder, outlier: 3), folder, new() { ["CalibrationData"] = "random", ["SmoothQuant"] = "off", ["Calibrator"] = "max" });
        var sensitivity = calibrated.Measure(folder);
        var worst = sensitivity.Groups.OrderByDescending(g => g.Error).ToArray();
        CollectionAssert.AreEqual(new[] { "m3" }, worst[0].Layers.ToArray());
        Assert.IsGreaterThan(100 * worst[1].Error, worst[0].Error);
    }

    [TestMethod]
    public void Layers_that_share_an_input_or_a_weight_form_one_group_and_tied_weights_are_saved_once()
    {
        LayerPlan Layer(string node, string input, string weight) => new(node, "MatMul", "", new TensorPlan(input, "int8", -1, 1, 1), new WeightPlan(weight, "int8", 1), null, null, 1);
        var groups = LayerGroups.Of([Layer("q", "x", "wq"), Layer("o", "y", "tied"), Layer("k", "x", "wk"), Layer("p", "z", "wp"), Layer("r", "u", "tied"), Layer("s", "u", "wq")]);
        CollectionAssert.AreEqual(new[] { "q o k r s", "p" }, groups.Select(g => string.Join(' ', g.Select(l => l.Node))).ToArray());
    }

    private static CalibratedPlan Calibrate(string model, TempFolder folder) => model == "cnn"
        ? CalibratedPlan.Of(Repository.Digits("digits_cnn.onnx"), folder, new() { ["CalibrationData"] = "digits_calib.npz" })
        : CalibratedPlan.Of(Repository.Mmdit("transformer.onnx"), folder, new() { ["CalibrationData"] = "random", ["Scheduler"] = "scheduler/scheduler_config.json", ["Steps"] = "3" });

    /// <summary>Products of 32 × 32 with tanh in between; the input of one has a channel 1000 times the others, which its weights undo.</summary>
    internal static string Chain(TempFolder folder, int outlier, int layers = 6)
    {
        var (nodes, weights) = (new List<NodeProto>(), new List<TensorProto>());
        var tensor = "x";
        for (var i = 0; i < layers; i++)
        {
            var values = TestModels.Random(32 * 32, i);
            if (i == outlier)
            {
                var scale = Enumerable.Repeat(1f, 32).ToArray();
                scale[5] = 1000;
                weights.Add(Tensors.Vector("scale", scale));
                nodes.Add(Nodes.Create("Mul", "outlier", [tensor, "scale"], ["scaled"]));
                tensor = "scaled";
                for (var o = 0; o < 32; o++)
                    values[5 * 32 + o] /= 1000;
            }
            weights.Add(Tensors.Create($"w{i}", values, 32, 32));
            nodes.Add(Nodes.Create("MatMul", $"m{i}", [tensor, $"w{i}"], [$"p{i}"]));
            if (i < layers - 1)
                nodes.Add(Nodes.Create("Tanh", $"t{i}", [$"p{i}"], [tensor = $"a{i}"]));
        }
        var model = TestModels.Create([TestModels.Input("x", DataType.Float, -1, 32)], [$"p{layers - 1}"], weights, [.. nodes]);
        return TestModels.Reload(model, folder).Path;
    }

    private static float[] Run(ModelProto model, TempFolder folder, (string Name, ModelTensor Value)? more)
    {
        var path = folder[Guid.NewGuid().ToString("N") + ".onnx"];
        OnnxFile.Save(model, path, path + ".data");
        using var session = ModelSession.Open(path, new SessionSettings
        {
            Threads = 2,
            Optimisation = GraphOptimizationLevel.ORT_DISABLE_ALL,
            Entries = new Dictionary<string, string> { ["session.disable_quant_qdq"] = "1" },
        });
        var inputs = session.Inputs.Where(i => i.Name != more?.Name).ToDictionary(i => i.Name, Random, StringComparer.Ordinal);
        if (more is { } extra)
            inputs[extra.Name] = extra.Value;
        return [.. session.Run(inputs).OrderBy(o => o.Key, StringComparer.Ordinal).SelectMany(o => o.Value.AsSpan<float>().ToArray())];
    }

    /// <summary>Two rows.</summary>
    private static ModelTensor Random(Port port)
    {
        long[] shape = [.. port.Shape.Select(d => d > 0 ? d : 2)];
        var count = (int)shape.Aggregate(1L, (a, b) => a * b);
        return port.Type.Type == typeof(float) ? ModelTensor.Create(TestModels.Random(count, 7), shape) : ModelTensor.Create(new long[count], shape);
    }
}
