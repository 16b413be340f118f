using System.Runtime.InteropServices;
using QuantSdk.Calibration;
using QuantSdk.Engines.TensorRt.Rules;
using QuantSdk.Onnx;
using QuantSdk.Rewriting;
using QuantSdk.Runtime;
using QuantSdk.Tests.Onnx;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Tests.Rewriting;

/// <summary>Graphs in 16-bit floats against the same graphs in 32.</summary>
[TestClass]
public sealed class HalfPrecisionTests
{
    /// <summary>Decibels between a lowering in fp16 and the same in fp32.</summary>
    private const double Least = 45;

    public TestContext TestContext { get; set; } = null!;

    [TestMethod]
    [DataRow("unet")]
    [DataRow("transformer")]
    [DataRow("pixart_sigma_tiny")]
    public void A_lowering_in_fp16_computes_what_it_computes_in_fp32(string name)
    {
        using var folder = new TempFolder();
        var model = TensorRtModel.Of(name, "int8", folder);
        var plain = HalfPrecision.Convert(model.Model.Proto, model.Amax, "fp16").Model;
        var inFloat = model.Sqnr(model.Model.Proto, plain, folder);
        Assert.IsGreaterThan(Least, inFloat, "in float");

        // A value that falls the other way in an early quantiser moves many behind it: what is left to compare is everything else, and the loss.
        var lowered = model.Lowered;
        var half = HalfPrecision.Convert(lowered, model.Amax, "fp16").Model;
        Assert.IsGreaterThan(Least, model.Sqnr(WithoutRounding(lowered), WithoutRounding(half), folder), "quantised");
        var sum = -10 * Math.Log10(Math.Pow(10, -inFloat / 10) + Math.Pow(10, -model.Sqnr(model.Model.Proto, lowered, folder) / 10));
        Assert.AreEqual(sum, model.Sqnr(model.Model.Proto, half, folder), 0.5, "the losses of quantising and of 16 bits add up");
        AssertStronglyTyped(half);
        NoCastFollowsAnother(half);
    }

    [TestMethod]
    public void A_planted_magnitude_stays_finite_and_so_does_what_reads_it()
    {
        using var folder = new TempFolder();
        var model = Chain(
            [Tensors.Scalar("large", 1e5f), Tensors.Scalar("small", 1e-5f), Tensors.Create("w", TestModels.Random(256, 1), 16, 16)],
            Node("Mul", "x", "large", "h"), Node("Transpose", "h", "t").With("perm", 0, 1), Node("Abs", "t", "a"), Node("Mul", "a", "small", "s"), Node("MatMul", "s", "w", "m"), Node("Tanh", "m", "y"));
        var amax = Observe(model, folder);
        Assert.AreEqual(1e5f * amax["x"], amax["h"], 1);
        var half = HalfPrecision.Convert(model, amax, "fp16");
        Assert.IsGreaterThan(60, RandomRuns.Sqnr(RandomRuns.Run(model), RandomRuns.Run(HalfPrecision.Runnable(half.Model))));
        CollectionAssert.AreEqual(new[] { "Mul_h", "Transpose_t", "Abs_a", "Mul_s" }, half.Full.Select(n => n.Node).ToArray());
        Assert.IsTrue(RandomRuns.Run(HalfPrecision.Convert(model, new Dictionary<string, float>(), "fp16").Model)["y"].AsSpan<float>().ToArray().Any(v => !float.IsFinite(v) || v == 1 || v == -1), "in fp16 it is not finite, or saturated");
    }

    [TestMethod]
    public void A_guard_against_zero_does_not_round_to_zero()
    {
        // RMS norm of rows of zeros: 0/0 where the guard of 1e-12 is lost.
        var model = Chain(
            [Tensors.Scalar("two", 2f), Tensors.Scalar("guard", 1e-12f), Tensors.Scalar("zero", 0f), Tensors.Vector("gain", TestModels.Random(16, 3)), Tensors.Vector("axes", -1L)],
            Node("Mul", "x", "zero", "h"), Node("Pow", "h", "two", "p"), Node("ReduceMean", "p", "axes", "v"), Node("Add", "v", "guard", "e"), Node("Sqrt", "e", "r"), Node("Reciprocal", "r", "i"), Node("Mul", "h", "i", "n"), Node("Mul", "n", "gain", "y"));
        var half = HalfPrecision.Convert(model, new Dictionary<string, float>(), "fp16");
        Assert.IsTrue(RandomRuns.Run(half.Model)["y"].AsSpan<float>().ToArray().All(v => v == 0));
        CollectionAssert.AreEqual(new[] { "Pow_p", "ReduceMean_v", "Add_e", "Sqrt_r", "Reciprocal_i", "Mul_n" }, half.Full.Select(n => n.Node).ToArray());
    }

    [TestMethod]
    public void Phases_and_indices_are_computed_in_full()
    {
        var model = Chain(
            [Tensors.Scalar("thousand", 1000f), Tensors.Vector("frequencies", TestModels.Random(16, 3)), Tensors.Create("table", TestModels.Random(2048, 4), 128, 16), Tensors.Scalar("last", 16f)],
            Node("Mul", "x", "thousand", "t"), Node("Mul", "t", "frequencies", "p"), Node("Sin", "p", "s"),
            Node("Abs", "x", "a"), Node("Mul", "a", "last", "f"), Node("Cast", "f", "i").With("to", (long)DataType.Int64), Node("Gather", "table", "i", "g"), Node("Cast", "i", "c").With("to", (long)DataType.Float),
            Node("ReduceMax", "g", "m").With("keepdims", 0L), Node("Mul", "s", "m", "q"), Node("Add", "q", "c", "y"));
        Assert.IsGreaterThan(60, RandomRuns.Sqnr(RandomRuns.Run(model), RandomRuns.Run(HalfPrecision.Convert(model, new Dictionary<string, float>(), "fp16").Model)));
    }

    [TestMethod]
    public void Inputs_outputs_and_bodies_keep_their_types_and_no_cast_follows_another()
    {
        var branch = new GraphProto { Name = "then" };
        branch.Node.Add(Nodes.Create("Neg", "neg", ["h"], ["negative"]));
        branch.Output.Add(new ValueInfoProto { Name = "negative" });
        var other = new GraphProto { Name = "else" };
        other.Node.Add(Nodes.Create("Identity", "same", ["h"], ["positive"]));
        other.Output.Add(new ValueInfoProto { Name = "positive" });
        var model = Chain([Tensors.Vector("w", TestModels.Random(16, 1)), Tensors.Scalar("limit", 0f), Tensors.Vector("scales", 1f, 2f)],
            Node("Mul", "x", "w", "h"), Node("ReduceMax", "h", "m").With("keepdims", 0L), Node("Less", "m", "limit", "flag"), Node("If", "flag", "c"), Node("Resize", "c", "", "scales", "r"), Node("Cast", "r", "b").With("to", (long)DataType.Float16), Node("Cast", "b", "d").With("to", (long)DataType.Float), Node("Tanh", "d", "y"));
        model.Graph.Node[3].Attribute.Add([
            new AttributeProto { Name = "then_branch", Type = AttributeProto.Types.AttributeType.Graph, G = branch }, new AttributeProto { Name = "else_branch", Type = AttributeProto.Types.AttributeType.Graph, G = other }]);
        model.Graph.Output.Add([new ValueInfoProto { Name = "h" }, TestModels.Input("b", DataType.Float16, -1, 32)]);
        var half = HalfPrecision.Convert(model, new Dictionary<string, float>(), "fp16").Model;
        var (expected, actual) = (RandomRuns.Run(model), RandomRuns.Run(half));
        foreach (var (name, tensor) in expected)
            Assert.AreEqual(tensor.Type, actual[name].Type, name);
        Assert.IsGreaterThan(60, RandomRuns.Sqnr(expected, actual));
        NoCastFollowsAnother(half);
        Assert.AreEqual("", string.Join("\n", GraphRules.Check(half)));
    }

    [TestMethod]
    public void A_scale_that_does_not_fit_keeps_its_layer_in_full_with_its_pairs()
    {
        var model = Quantised(activation: 0.01f, weight: 1e-7f);
        var half = HalfPrecision.Convert(model, new Dictionary<string, float>(), "fp16");
        var view = new GraphView(half.Model.Graph);
        var product = half.Model.Graph.Node.Single(n => n.OpType == "MatMul");
        Assert.IsTrue(product.Input.All(i => view.Producer(i)!.OpType == "DequantizeLinear"), "no Cast between a pair and its layer");
        Assert.AreEqual(1e-7f, view.Initializer(view.Producer(product.Input[1])!.Input[1])!.ToFloats()[0]);
        var quantise = half.Model.Graph.Node.Single(n => n.OpType == "QuantizeLinear");
        Assert.AreEqual((int)DataType.Float16, view.Initializer(quantise.Input[1])!.DataType);
        Assert.AreEqual(view.Initializer(quantise.Input[1])!.ToFloats()[0], view.Initializer(view.Producer(product.Input[0])!.Input[1])!.ToFloats()[0], "one number on both sides");
        Assert.AreEqual("", string.Join("\n", GraphRules.Check(half.Model)));
        Assert.IsGreaterThan(50, RandomRuns.Sqnr(Run(model), Run(half.Model)));
    }

    [TestMethod]
    public void Scales_are_rounded_to_the_nearest_half_and_ONNX_Runtime_rounds_codes_too()
    {
        var model = Quantised(activation: 0.01f, weight: 0.003f);
        var half = HalfPrecision.Convert(model, new Dictionary<string, float>(), "fp16").Model;
        Assert.IsTrue(half.Graph.Initializer.Where(t => t.DataType == (int)DataType.Float16).SelectMany(t => t.ToFloats()).All(v => v == (float)(Half)0.01f || v == (float)(Half)0.003f));
        // The same numbers in 32 bits: codes are equal but for ties, the rest is what a result in 16 bits loses.
        Assert.IsGreaterThan(55, RandomRuns.Sqnr(Run(Quantised((float)(Half)0.01f, (float)(Half)0.003f)), Run(half)));
    }

    [TestMethod]
    [DataRow("digits_cnn", "fp16")]
    [DataRow("transformer", "bf16")]
    [DataRow("digits_cnn", "bf16")]
    public void ONNX_Runtime_finds_every_type_in_order(string name, string type)
    {
        using var folder = new TempFolder();
        var model = OnnxFile.Load(name == "transformer" ? Repository.Mmdit("transformer.onnx") : Repository.Digits(name + ".onnx"));
        var half = HalfPrecision.Convert(Simplification.Simplify(model).Proto, new Dictionary<string, float>(), type).Model;
        if (type == "fp16")
        {
            TensorRtModel.Open(half, folder).Dispose();
            return;
        }
        // Types are checked before kernels are looked for, of which there are none on the CPU.
        OnnxFile.Save(half, folder["m.onnx"], folder["m.data"]);
        StringAssert.Contains(Assert.ThrowsExactly<QuantSdkException>(() => ModelSession.Open(folder["m.onnx"], new SessionSettings { Threads = 1 })).Message, "Could not find an implementation");
        Assert.IsGreaterThan(35, RandomRuns.Sqnr(RandomRuns.Run(model.Proto), RandomRuns.Run(HalfPrecision.Runnable(half))));
    }

    [TestMethod]
    public void Masks_are_no_magnitudes()
    {
        using var folder = new TempFolder();
        var model = Chain([Tensors.Scalar("minus", float.NegativeInfinity), Tensors.Scalar("zero", 0f)], Node("Less", "x", "zero", "b"), Node("Where", "b", "minus", "x", "m"), Node("Softmax", "m", "y"));
        var amax = Observe(model, folder);
        Assert.IsLessThanOrEqualTo(1f, amax["m"]);
        Assert.IsGreaterThan(0.5f, amax["m"]);
        Assert.IsEmpty(HalfPrecision.Convert(model, amax, "fp16").Full);
    }

    private static NodeProto Node(string op, params string[] names) => Nodes.Create(op, $"{op}_{names[^1]}", names[..^1], [names[^1]]);

    /// <summary>x [n, 16] → y.</summary>
    private static ModelProto Chain(IEnumerable<TensorProto> constants, params NodeProto[] nodes)
    {
        var model = TestModels.Create([TestModels.Input("x", DataType.Float, -1, 16)], ["y"], constants, nodes);
        (model.OpsetImport[0].Version, model.IrVersion) = (19, 9);
        return model;
    }

    private static ModelProto Quantised(float activation, float weight) => Chain(
        [Tensors.Scalar("xs", activation), Tensors.Scalar("ws", weight), Tensors.Scalar("zero", (sbyte)0), Tensors.Create("w", [.. TestModels.Random(256, 7).Select(v => (sbyte)(v * 127))], 16, 16)],
        Node("QuantizeLinear", "x", "xs", "zero", "q"), Node("DequantizeLinear", "q", "xs", "zero", "d"), Node("DequantizeLinear", "w", "ws", "zero", "wd"), Node("MatMul", "d", "wd", "y"));

    private static IReadOnlyDictionary<string, ModelTensor> Run(ModelProto model)
    {
        using var folder = new TempFolder();
        using var session = TensorRtModel.Open(model, folder);
        return session.Run(session.Inputs.ToDictionary(i => i.Name, RandomRuns.Fill));
    }

    private static IReadOnlyDictionary<string, float> Observe(ModelProto model, TempFolder folder)
    {
        var reloaded = TestModels.Reload(model, folder);
        using var session = ModelSession.Open(reloaded.Path, new SessionSettings { Threads = 1 });
        var x = new NpyArray(DataType.Float, [10, 16], MemoryMarshal.AsBytes(TestModels.Random(160, 2).AsSpan()).ToArray(), "x");
        return TensorAmax.Observe(reloaded, new RowSource(Feed.Fit(new Dictionary<string, NpyArray> { ["x"] = x }, session.Inputs, "m")), folder.Path, 1, null, default);
    }

    private static void NoCastFollowsAnother(ModelProto model)
    {
        var view = new GraphView(model.Graph);
        foreach (var cast in model.Graph.Node.Where(n => n.Is("Cast")))
            Assert.AreNotEqual("Cast", view.Producer(cast.Input[0])?.OpType, cast.Name);
    }

    /// <summary>The graph with its activations passed by the quantisers.</summary>
    private static ModelProto WithoutRounding(ModelProto model)
    {
        var types = ElementTypes.Of(model);
        model = model.Clone();
        var view = new GraphView(model.Graph);
        foreach (var node in model.Graph.Node.Where(n => n.Is("DequantizeLinear") && view.Producer(n.Input[0]) is not null).ToArray())
        {
            node.OpType = "Cast";
            node.Input[0] = view.Producer(node.Input[0])!.Input[0];
            node.Input.RemoveAt(2);
            node.Input.RemoveAt(1);
            node.Attribute.Clear();
            node.With("to", types[node.Output[0]]);
        }
        DeadCode.Remove(model.Graph);
        return model;
    }

    private void AssertStronglyTyped(ModelProto model)
    {
        var types = ElementTypes.Of(model);
        var halves = model.Graph.Node.Count(n => types.GetValueOrDefault(n.Output[0]) == (int)DataType.Float16);
        TestContext.WriteLine($"{halves} of {model.Graph.Node.Count} in fp16: {string.Join(" ", model.Graph.Node.GroupBy(n => n.OpType).Select(g => $"{g.Key}:{g.Count()}"))}");
        Assert.IsGreaterThan(model.Graph.Node.Count / 2, halves);
        Assert.AreEqual("", string.Join("\n", GraphRules.Check(model)));
    }
}
