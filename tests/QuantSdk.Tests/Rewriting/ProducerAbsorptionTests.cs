using QuantSdk.Engines;
using QuantSdk.Onnx;
using QuantSdk.Planning;
using QuantSdk.Rewriting;
using QuantSdk.Runtime;
using QuantSdk.Tests.Onnx;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Tests.Rewriting;

/// <summary>
/// Factors in a producer's weights: what comes out of the graph must be what came out before, once the reader's weights are multiplied
/// by them (in float, run by ONNX Runtime).
/// </summary>
[TestClass]
public sealed class ProducerAbsorptionTests
{
    private const int Width = 24;

    public static IEnumerable<object[]> Passed =>
    [
        ["linear"], ["bias"], ["gemm"], ["gemm transposed"], ["cast"], ["reshape"], ["gated by slices"], ["gated by a split"], ["gated by a split with sizes"], ["second part"],
        ["attention"], ["group norm"],
    ];

    [TestMethod]
    [DynamicData(nameof(Passed))]
    public void Factors_go_into_the_weights_above(string variant)
    {
        var model = Model(variant);
        var (divided, tensors) = Apply(model);
        Assert.Contains("t", tensors, variant);
        // Without the other half it is another model.
        Assert.IsGreaterThan(1e-2, Difference(model, divided), variant);
        Multiply(divided);
        Assert.IsLessThan(1e-5, Difference(model, divided), variant);
    }

    public static IEnumerable<object[]> Refused =>
    [
        ["read twice"], ["returned"], ["producer is read"], ["shared weight"], ["nonlinear"], ["heads are joined"], ["overlapping slices"], ["slice of rows"], ["codes are fixed"], ["square"],
    ];

    [TestMethod]
    [DynamicData(nameof(Refused))]
    public void What_another_node_sees_is_left_alone(string variant)
    {
        var model = Model(variant);
        var rounded = variant == "codes are fixed" ? new RoundedWeights(new Dictionary<string, RoundedWeight> { ["n_t"] = new([], null!) }) : null;
        var (same, tensors) = Apply(model, rounded);
        Assert.IsEmpty(tensors, variant);
        Assert.AreEqual(0.0, Difference(model, same), variant);
    }

    private static float[] Factors => [.. TestModels.Random(Width, 77).Select(v => 0.3f + MathF.Abs(v))];

    private static (ModelProto Model, IReadOnlySet<string> Divided) Apply(ModelProto model, RoundedWeights? rounded = null)
    {
        var fused = FloatFusions.BeforeQuantising(new OnnxModel(model.Clone(), "test.onnx", [])).Model;
        var smoothed = new SmoothedPlan(Factors, -1, 1, null, -1, 1, 1, Factors);
        var layer = new LayerPlan("n_y", "MatMul", "", new TensorPlan("t", "int8", -1, 1, 1, smoothed), new WeightPlan("w_y", "int8", 1), null, null, 1);
        var (result, divided) = ProducerAbsorption.Apply(fused, [layer], rounded);
        return (result.Proto.Clone(), divided);
    }

    private static void Multiply(ModelProto model)
    {
        var weight = model.Graph.Initializer.First(t => t.Name == "w_y");
        var columns = (int)weight.Dims[1];
        weight.RawData = Tensors.Create("", [.. weight.ToFloats().Select((v, i) => v * Factors[i / columns])], [.. weight.Dims]).RawData;
    }

    /// <summary>Relative L2.</summary>
    private static double Difference(ModelProto a, ModelProto b)
    {
        using var folder = new TempFolder();
        OnnxFile.Save(a, folder["a.onnx"], folder["a.data"]);
        OnnxFile.Save(b, folder["b.onnx"], folder["b.data"]);
        using var before = ModelSession.Open(folder["a.onnx"], new SessionSettings { Threads = 1 });
        using var after = ModelSession.Open(folder["b.onnx"], new SessionSettings { Threads = 1 });
        var shape = new Dictionary<string, long[]> { ["x"] = [.. before.Inputs[0].Shape.Select(d => d > 0 ? d : 2)] };
        using var x = before.Bind(shape);
        using var y = after.Bind(shape);
        TestModels.Random((int)shape["x"].Aggregate(1L, (p, d) => p * d), 5).CopyTo(x.Input<float>("x"));
        x.InputBytes("x").CopyTo(y.InputBytes("x"));
        x.Run();
        y.Run();
        var (p, q) = (x.Output<float>("y").ToArray(), y.Output<float>("y").ToArray());
        return Math.Sqrt(p.Zip(q, (v, w) => Math.Pow(v - w, 2)).Sum() / p.Sum(v => (double)v * v));
    }

    /// <summary>x to t, whose last axis has Width channels, to y = t·w_y.</summary>
    private static ModelProto Model(string variant)
    {
        var nodes = new List<NodeProto>();
        var initializers = new List<TensorProto> { Tensors.Create("w_y", TestModels.Random(Width * 8, 1), Width, 8), Tensors.Vector("bias", TestModels.Random(Width, 4)) };
        var (input, outputs) = (TestModels.Input("x", DataType.Float, -1, 5, Width), new List<string> { "y" });
        NodeProto Add(string op, string[] from, params string[] to)
        {
            nodes.Add(Nodes.Create(op, "n_" + to[0], from, to));
            return nodes[^1];
        }
        void Project(string from, string to, int columns = Width)
        {
            initializers.Add(Tensors.Create("w_" + to, TestModels.Random(Width * columns, to.Length), Width, columns));
            Add("MatMul", [from, "w_" + to], to);
        }
        void Slice(string from, string to, long first, long last, long axis)
        {
            initializers.AddRange([Tensors.Vector(to + "_from", first), Tensors.Vector(to + "_to", last), Tensors.Vector(to + "_axis", axis)]);
            Add("Slice", [from, to + "_from", to + "_to", to + "_axis"], to);
        }
        void Gated(Action<string> cut)
        {
            Project("x", "both", 2 * Width);
            initializers.Add(Tensors.Vector("bias_both", TestModels.Random(2 * Width, 6)));
            Add("Add", ["both", "bias_both"], "both_biased");
            cut("both_biased");
            Add("Sigmoid", ["b"], "gate");
            Add("Mul", ["a", "gate"], "t");
        }
        switch (variant)
        {
            case "linear" or "codes are fixed":
                Project("x", "t");
                break;
            case "bias":
                Project("x", "m");
                Add("Add", ["bias", "m"], "t");
                break;
            case "gemm" or "gemm transposed":
                input = TestModels.Input("x", DataType.Float, -1, 16);
                var transposed = variant == "gemm transposed";
                initializers.Add(transposed ? Tensors.Create("w", TestModels.Random(16 * Width, 3), Width, 16) : Tensors.Create("w", TestModels.Random(16 * Width, 3), 16, Width));
                Add("Gemm", ["x", "w", "bias"], "t").With("transB", transposed ? 1L : 0L);
                break;
            case "cast":
                Project("x", "m");
                Add("Cast", ["m"], "t").With("to", (long)DataType.Float);
                break;
            case "reshape":
                Project("x", "m");
                initializers.Add(Tensors.Vector("rows", -1L, Width));
                Add("Reshape", ["m", "rows"], "t");
                break;
            case "heads are joined":
                Project("x", "m", 6);
                initializers.Add(Tensors.Vector("joined", -1L, Width));
                input = TestModels.Input("x", DataType.Float, -1, 4, Width);
                Add("Reshape", ["m", "joined"], "t");
                break;
            case "gated by slices":
                Gated(s => { Slice(s, "a", 0, Width, -1); Slice(s, "b", Width, 2 * Width, -1); });
                break;
            case "second part":
                Gated(s => { Slice(s, "a", Width, 2 * Width, 2); Slice(s, "b", 0, Width, 2); });
                break;
            case "overlapping slices":
                Gated(s => { Slice(s, "a", 0, Width, -1); Slice(s, "b", Width - 1, (2 * Width) - 1, -1); });
                break;
            case "slice of rows":
                // As many rows as there are channels: only the width of what is above tells which axis it is.
                input = TestModels.Input("x", DataType.Float, -1, Width + 5, Width);
                Project("x", "m");
                Slice("m", "t", 0, Width, 1);
                break;
            case "gated by a split":
                Gated(s => Add("Split", [s], "a", "b").With("axis", -1L));
                break;
            case "gated by a split with sizes":
                initializers.Add(Tensors.Vector("sizes", (long)Width, Width));
                Gated(s => Add("Split", [s, "sizes"], "b", "a").With("axis", -1L));
                break;
            case "attention":
                initializers.AddRange([Tensors.Vector("split", 0L, -1, 4, 6), Tensors.Vector("join", 0L, -1, Width)]);
                foreach (var name in (string[])["q", "k_", "v__"])
                {
                    Project("x", name);
                    Add("Reshape", [name, "split"], name + "_split");
                    Add("Transpose", [name + "_split"], name + "_heads").With("perm", 0, 2, name == "k_" ? 3 : 1, name == "k_" ? 1 : 3);
                }
                Add("MatMul", ["q_heads", "k__heads"], "scores");
                Add("Softmax", ["scores"], "p").With("axis", -1L);
                Add("MatMul", ["p", "v___heads"], "mixed");
                Add("Transpose", ["mixed"], "back").With("perm", 0, 2, 1, 3);
                Add("Reshape", ["back", "join"], "t");
                break;
            case "group norm":
                input = TestModels.Input("x", DataType.Float, -1, Width, 3, 4);
                initializers.AddRange(
                [
                    Tensors.Vector("groups", 0L, 4, -1), Tensors.Vector("image", -1L, Width, 3, 4), Tensors.Vector("tokens", -1L, 12, Width), Tensors.Vector("ones", 1f, 1, 1, 1), Tensors.Vector("none", 0f, 0, 0, 0),
                    Tensors.Create("gamma", TestModels.Random(Width, 8), Width, 1, 1), Tensors.Create("beta", TestModels.Random(Width, 9), 1, Width, 1, 1),
                ]);
                Add("Reshape", ["x", "groups"], "g");
                Add("InstanceNormalization", ["g", "ones", "none"], "n");
                Add("Reshape", ["n", "image"], "i");
                Add("Mul", ["i", "gamma"], "scaled");
                Add("Add", ["scaled", "beta"], "shifted");
                Add("Transpose", ["shifted"], "last").With("perm", 0, 2, 3, 1);
                Add("Reshape", ["last", "tokens"], "t");
                break;
            case "read twice":
                Project("x", "t");
                Add("Sigmoid", ["t"], "other");
                outputs.Add("other");
                break;
            case "returned":
                Project("x", "t");
                outputs.Add("t");
                break;
            case "producer is read":
                Project("x", "m");
                Add("Add", ["m", "bias"], "t");
                Add("Sigmoid", ["m"], "other");
                outputs.Add("other");
                break;
            case "shared weight":
                Project("x", "t");
                Add("MatMul", ["x", "w_t"], "other");
                outputs.Add("other");
                break;
            case "nonlinear":
                Project("x", "m");
                Add("Sigmoid", ["m"], "t");
                break;
            case "square":
                Project("x", "m");
                Add("Mul", ["m", "m"], "t");
                break;
            default:
                throw new ArgumentOutOfRangeException(nameof(variant), variant, null);
        }
        Add("MatMul", ["t", "w_y"], "y");
        return TestModels.Create([input], [.. outputs], [.. initializers], [.. nodes]);
    }
}
