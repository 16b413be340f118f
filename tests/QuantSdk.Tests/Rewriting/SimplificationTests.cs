using QuantSdk.Onnx;
using QuantSdk.Rewriting;
using QuantSdk.Runtime;
using QuantSdk.Tests.Onnx;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Tests.Rewriting;

[TestClass]
public sealed class SimplificationTests
{
    /// <summary>A batch that the folder itself never probes (RecurrentGemma's export runs at 16 tokens alone).</summary>
    private static readonly Dictionary<string, long> Sizes = new() { ["batch"] = 4, ["b"] = 4, ["s"] = 16, ["h"] = 6, ["w"] = 4 };

    public static IEnumerable<object[]> Models =>
    [
        [Repository.Digits("unet.onnx")], [Repository.Digits("digits_cnn.onnx")], [Repository.Digits("prompt_encoder.onnx")], [Repository.Mmdit("transformer.onnx")],
        .. Directory.GetFiles(Repository.Data("archs"), "*.onnx").Order(StringComparer.Ordinal).Select(f => new object[] { f }),
    ];

    [TestMethod]
    [DynamicData(nameof(Models))]
    public void The_simplified_model_computes_the_same(string path)
    {
        using var folder = new TempFolder();
        var original = OnnxFile.Load(path);
        var simplified = Simplification.Simplify(original);
        Assert.IsLessThanOrEqualTo(original.Graph.Node.Count, simplified.Graph.Node.Count);
        OnnxFile.Save(simplified.Proto, folder["s.onnx"], folder["s.data"]);
        using var before = ModelSession.Open(path, new SessionSettings { Threads = 2 });
        using var after = ModelSession.Open(folder["s.onnx"], new SessionSettings { Threads = 2 });
        using var a = Bind(before);
        using var b = Bind(after);
        foreach (var input in before.Inputs)
        {
            Fill(a, input);
            a.InputBytes(input.Name).CopyTo(b.InputBytes(input.Name));
        }
        a.Run();
        b.Run();
        foreach (var output in before.Outputs.Where(o => o.Type.Type == typeof(float)))
        {
            var (x, y) = (a.Output<float>(output.Name).ToArray(), b.Output<float>(output.Name).ToArray());
            CollectionAssert.AreEqual(a.OutputShape(output.Name).ToArray(), b.OutputShape(output.Name).ToArray());
            var norm = Math.Sqrt(x.Sum(v => (double)v * v));
            var error = Math.Sqrt(x.Zip(y, (p, q) => Math.Pow(p - q, 2)).Sum());
            Assert.IsLessThanOrEqualTo(1e-5 * norm, error, output.Name);
        }
    }

    [TestMethod]
    public void Shape_chains_of_the_UNet_are_gone()
    {
        var simplified = Simplification.Simplify(OnnxFile.Load(Repository.Digits("unet.onnx")));
        Assert.IsLessThan(1700, simplified.Graph.Node.Count, "4129 as exported");
        Assert.IsLessThan(5, simplified.Graph.Node.Count(n => n.OpType == "Shape"), "197 as exported");
    }

    [TestMethod]
    public void What_depends_on_values_is_never_folded()
    {
        // The shape of y is what is fed as v: every probe sees the same zeros, other runs do not.
        var model = TestModels.Create(
            [TestModels.Input("v", DataType.Int64, 2), TestModels.Input("z", DataType.Float, 2)], ["s"], [],
            Nodes.Create("ConstantOfShape", "fill", ["v"], ["y"]), Nodes.Create("Shape", "shape", ["y"], ["n"]), Nodes.Create("Cast", "cast", ["n"], ["f"]).With("to", 1L), Nodes.Create("Mul", "mul", ["f", "z"], ["s"]));
        using var folder = new TempFolder();
        var simplified = Simplification.Simplify(TestModels.Reload(model, folder));
        Assert.IsTrue(simplified.Graph.Node.Any(n => n.OpType == "Shape"));
    }

    [TestMethod]
    public void What_only_changes_beyond_the_sizes_tried_is_never_folded()
    {
        // n / 64 is 0 at every size that is tried, and 2 at 128; the second output takes the way over a shape.
        var shape = new TensorShapeProto();
        shape.Dim.Add(new TensorShapeProto.Types.Dimension { DimParam = "n" });
        var x = TestModels.Input("x", DataType.Float, 1);
        x.Type.TensorType.Shape = shape;
        var model = TestModels.Create([x], ["y", "z"], [Tensors.Vector("window", 64L)],
            Nodes.Create("Shape", "shape", ["x"], ["n"]), Nodes.Create("Div", "div", ["n", "window"], ["windows"]), Nodes.Create("Cast", "cast", ["windows"], ["f"]).With("to", 1L), Nodes.Create("Mul", "mul", ["x", "f"], ["y"]),
            Nodes.Create("ConstantOfShape", "fill", ["windows"], ["filled"]), Nodes.Create("Shape", "shape2", ["filled"], ["m"]), Nodes.Create("Cast", "cast2", ["m"], ["g"]).With("to", 1L), Nodes.Create("Mul", "mul2", ["x", "g"], ["z"]));
        using var folder = new TempFolder();
        OnnxFile.Save(Simplification.Simplify(TestModels.Reload(model, folder)).Proto, folder["s.onnx"], folder["s.data"]);
        using var session = ModelSession.Open(folder["s.onnx"], new SessionSettings());
        using var binding = session.Bind(new Dictionary<string, long[]> { ["x"] = [128] });
        binding.Input<float>("x").Fill(1.5f);
        binding.Run();
        Assert.AreEqual(3f, binding.Output<float>("y")[0]);
        Assert.AreEqual(3f, binding.Output<float>("z")[0]);
    }

    [TestMethod]
    public void Nodes_without_a_name_or_with_another_ones_get_their_own()
    {
        var model = TestModels.Create([TestModels.Input("x", DataType.Float, -1, 4)], ["c"], [],
            Nodes.Create("Relu", "", ["x"], ["a"]), Nodes.Create("Neg", "same", ["a"], ["b"]), Nodes.Create("Exp", "same", ["b"], ["c"]));
        using var folder = new TempFolder();
        var names = Simplification.Simplify(TestModels.Reload(model, folder)).Graph.Node.Select(n => n.Name).ToArray();
        CollectionAssert.AreEqual(new[] { "Relu_1", "same", "same_1" }, names);
    }

    [TestMethod]
    public void Batch_norm_folds_into_its_convolution_by_the_formula()
    {
        var (weight, bias) = (TestModels.Random(8 * 3 * 9, 1), TestModels.Random(8, 2));
        float[] gamma = TestModels.Random(8, 3), beta = TestModels.Random(8, 4), mean = TestModels.Random(8, 5), variance = [.. TestModels.Random(8, 6).Select(v => v * v + 0.1f)];
        var model = TestModels.Create([TestModels.Input("x", DataType.Float, -1, 3, 8, 8)], ["y"],
            [Tensors.Create("w", weight, 8, 3, 3, 3), Tensors.Vector("b", bias), Tensors.Vector("gamma", gamma), Tensors.Vector("beta", beta), Tensors.Vector("mean", mean), Tensors.Vector("variance", variance)],
            Nodes.Create("Conv", "conv", ["x", "w", "b"], ["c"]), Nodes.Create("BatchNormalization", "bn", ["c", "gamma", "beta", "mean", "variance"], ["y"]).With("epsilon", 1e-3f));
        using var folder = new TempFolder();
        var graph = Simplification.Simplify(TestModels.Reload(model, folder)).Graph;
        Assert.AreEqual("Conv", graph.Node.Single().OpType);
        var folded = graph.Initializer.Single(t => t.Dims.Count == 4).ToFloats();
        for (var i = 0; i < folded.Length; i++)
            Assert.AreEqual(weight[i] * gamma[i / 27] / Math.Sqrt(variance[i / 27] + 1e-3f), folded[i], 1e-6);
        var foldedBias = graph.Initializer.Single(t => t.Dims.Count == 1).ToFloats();
        for (var c = 0; c < 8; c++)
            Assert.AreEqual((bias[c] - mean[c]) * gamma[c] / Math.Sqrt(variance[c] + 1e-3f) + beta[c], foldedBias[c], 1e-6);
    }

    private static ModelBinding Bind(ModelSession session) =>
        session.Bind(session.Inputs.ToDictionary(i => i.Name, i => i.Shape.Select((d, axis) => d > 0 ? d : Sizes[i.Symbols[axis]]).ToArray()));

    private static void Fill(ModelBinding binding, Port port)
    {
        var random = new Random(port.Name.Length);
        if (port.Type.Name == "float")
        {
            foreach (ref var value in binding.Input<float>(port.Name))
                value = (float)random.NextDouble();
        }
        else
        {
            foreach (ref var value in binding.Input<long>(port.Name))
                value = port.Name.Contains("mask", StringComparison.Ordinal) ? 1 : random.Next(1, 10);
        }
    }
}
