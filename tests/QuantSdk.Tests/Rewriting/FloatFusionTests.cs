using QuantSdk.Onnx;
using QuantSdk.Rewriting;
using QuantSdk.Runtime;
using QuantSdk.Tests.Onnx;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Tests.Rewriting;

/// <summary>Fused float graphs against the unfused ones in ONNX Runtime, at sizes that the fusions did not probe.</summary>
[TestClass]
public sealed class FloatFusionTests
{
    private static readonly Dictionary<string, long> Sizes = new() { ["batch"] = 4, ["b"] = 4, ["s"] = 16, ["h"] = 6, ["w"] = 4 };

    /// <summary>Model, attention blocks it has, blocks that are fused, tanh GELUs.</summary>
    public static IEnumerable<object[]> Models =>
    [
        [Repository.Digits("unet.onnx"), 34, 0], [Repository.Mmdit("transformer.onnx"), 6, 11],
        [Repository.Data("archs/auraflow_tiny.onnx"), 5, 0], [Repository.Data("archs/flux_tiny.onnx"), 5, 0], [Repository.Data("archs/pixart_sigma_tiny.onnx"), 6, 4],
        [Repository.Data("archs/clip_text_tiny.onnx"), 3, 0], [Repository.Data("archs/t5_encoder_tiny.onnx"), 3, 3], [Repository.Data("archs/vae_decoder_tiny.onnx"), 1, 0],
        [Repository.Data("archs/dbrx_tiny.onnx"), 2, 0], [Repository.Data("archs/llama_tiny.onnx"), 0, 0], [Repository.Data("archs/recurrentgemma_tiny.onnx"), 0, 5],
    ];

    [TestMethod]
    [DynamicData(nameof(Models))]
    public void A_model_computes_the_same_with_its_attention_fused(string path, int attentions, int gelus)
    {
        using var folder = new TempFolder();
        var model = Simplification.Simplify(OnnxFile.Load(path));
        var fused = FloatFusions.Apply(model);
        Assert.AreEqual(attentions, Count(fused.Graph, "MultiHeadAttention"));
        Assert.AreEqual(gelus, Count(fused.Graph, "FastGelu"));
        Assert.AreEqual(0, Count(fused.Graph, "LayerNormalization"));
        if (attentions > 2)
            Assert.AreEqual(0, Count(fused.Graph, "Softmax"), "nothing is computed twice");
        OnnxFile.Save(model.Proto, folder["a.onnx"], folder["a.data"]);
        OnnxFile.Save(fused.Proto, folder["b.onnx"], folder["b.data"]);
        using var before = ModelSession.Open(folder["a.onnx"], new SessionSettings { Threads = 2 });
        using var after = ModelSession.Open(folder["b.onnx"], new SessionSettings { Threads = 2 });
        var inputs = before.Inputs.ToDictionary(i => i.Name, i => i.Shape.Select((d, axis) => d > 0 ? d : Sizes[i.Symbols[axis]]).ToArray());
        AssertSame(before, after, inputs);
    }

    /// <summary>How the graph of <see cref="Attention"/> is written.</summary>
    public static IEnumerable<object[]> Variants =>
    [
        ["plain"], ["scale on q"], ["scale on both"], ["divided scores"], ["key by heads"], ["mask B1ST"], ["mask 11ST"], ["mask ST"], ["mask on the left"], ["cross"], ["two streams"],
        ["norm on heads"], ["value width"], ["casts"], ["output rank 4"],
    ];

    [TestMethod]
    [DynamicData(nameof(Variants))]
    public void Every_way_to_write_attention_becomes_one_node(string variant)
    {
        var model = Attention(variant);
        var fused = FloatFusions.Apply(new OnnxModel(model, "test.onnx", []));
        Assert.AreEqual(1, Count(fused.Graph, "MultiHeadAttention"), variant);
        Assert.AreEqual(0, Count(fused.Graph, "Softmax"), variant);
        AssertSame(model, fused.Proto);
    }

    public static IEnumerable<object[]> OtherThings =>
    [
        ["softmax over queries"], ["scores are read"], ["probabilities are read"], ["mask per head and row"], ["mask after the softmax"], ["one key for all rows"], ["heads not split"],
        ["negative scale"], ["scale per head"], ["one head for all"],
    ];

    [TestMethod]
    [DynamicData(nameof(OtherThings))]
    public void What_is_not_attention_in_every_detail_is_left_alone(string variant)
    {
        var model = Attention(variant);
        var fused = FloatFusions.Apply(new OnnxModel(model, "test.onnx", []));
        Assert.AreEqual(0, Count(fused.Graph, "MultiHeadAttention"), variant);
        AssertSame(model, fused.Proto);
    }

    [TestMethod]
    [DataRow("x*(x*x)", 1)]
    [DataRow("pow", 1)]
    [DataRow("half first", 1)]
    [DataRow("other constant", 0)]
    [DataRow("other x", 0)]
    [DataRow("tanh is read", 0)]
    public void A_tanh_GELU_becomes_one_node(string variant, int expected)
    {
        var nodes = new List<NodeProto>
        {
            Nodes.Create("MatMul", "m", ["in", "w"], ["x"]),
            variant == "pow" ? Nodes.Create("Pow", "cube", ["x", "three"], ["x3"]) : Nodes.Create("Mul", "square", ["x", "x"], ["x2"]),
        };
        if (variant != "pow")
            nodes.Add(Nodes.Create("Mul", "cube", ["x", "x2"], ["x3"]));
        nodes.AddRange(
        [
            Nodes.Create("Mul", "k3", [variant == "other constant" ? "half" : "k", "x3"], ["kx3"]),
            Nodes.Create("Add", "sum", ["x", "kx3"], ["s"]),
            Nodes.Create("Mul", "root", ["s", "root2pi"], ["u"]),
            Nodes.Create("Tanh", "tanh", ["u"], ["t"]),
            Nodes.Create("Add", "one", ["t", "1"], ["t1"]),
        ]);
        if (variant == "half first")
            nodes.AddRange([Nodes.Create("Mul", "half_x", ["x", "half"], ["hx"]), Nodes.Create("Mul", "out", ["hx", "t1"], ["y"])]);
        else
            nodes.AddRange([Nodes.Create("Mul", "x_t", [variant == "other x" ? "in" : "x", "t1"], ["xt"]), Nodes.Create("Mul", "out", ["xt", "half"], ["y"])]);
        var model = TestModels.Create(
            [TestModels.Input("in", DataType.Float, -1, 6)], variant == "tanh is read" ? ["y", "t"] : ["y"],
            [
                Tensors.Create("w", TestModels.Random(36, 3), 6, 6), Tensors.Scalar("three", 3f), Tensors.Scalar("k", 0.044715f), Tensors.Scalar("half", 0.5f), Tensors.Scalar("1", 1f),
                Tensors.Scalar("root2pi", MathF.Sqrt(2 / MathF.PI)),
            ], [.. nodes]);
        var fused = FloatFusions.Apply(new OnnxModel(model, "test.onnx", []));
        // The output t is an extra output: the GELU may be fused, the tanh must stay.
        Assert.AreEqual(expected, Count(fused.Graph, "FastGelu"));
        AssertSame(model, fused.Proto);
    }

    private static int Count(GraphProto graph, string op) => graph.Node.Count(n => n.OpType == op);

    /// <summary>q, k and v of B×S×24 inputs (4 heads of 6 channels), their product, and one variation of it.</summary>
    private static ModelProto Attention(string variant)
    {
        const int heads = 4, width = 24;
        var nodes = new List<NodeProto>();
        var initializers = new List<TensorProto>
        {
            Tensors.Vector("split", 0L, -1, heads, width / heads), Tensors.Vector("join", 0L, -1, width), Tensors.Vector("split3", 0L, -1, 3, 8), Tensors.Vector("join4", 0L, -1, 2, 12),
            Tensors.Scalar("s", 0.4f), Tensors.Scalar("negative", -0.4f), Tensors.Scalar("divisor", 2.5f), Tensors.Create("perHead", TestModels.Random(heads, 9), 1, heads, 1, 1),
            Tensors.Create("mask11ST", TestModels.Random(25, 7), 1, 1, 5, 5), Tensors.Create("maskST", TestModels.Random(25, 8), 5, 5), Tensors.Create("maskRow", TestModels.Random(5, 8), 1, 1, 1, 5),
            Tensors.Vector("gamma", TestModels.Random(width / heads, 5)),
        };
        var inputs = new List<ValueInfoProto> { TestModels.Input("x", DataType.Float, -1, 5, width) };
        var outputs = new List<string> { "y" };
        void Add(string op, string[] from, string to, Action<NodeProto>? with = null)
        {
            var node = Nodes.Create(op, "n_" + to, from, [to]);
            with?.Invoke(node);
            nodes.Add(node);
        }
        string Project(string input, string name, int columns = width)
        {
            initializers.Add(Tensors.Create("w_" + name, TestModels.Random(width * columns, name[0] + name.Length), width, columns));
            Add("MatMul", [input, "w_" + name], name);
            return name;
        }
        string Heads(string tensor, bool norm = false)
        {
            Add("Reshape", [tensor, "split"], tensor + "_split");
            if (norm)
                Add("Mul", [tensor + "_split", "gamma"], tensor + "_normed");
            Add("Transpose", [tensor + (norm ? "_normed" : "_split")], tensor + "_heads", n => n.With("perm", 0, 2, 1, 3));
            return tensor + "_heads";
        }

        var context = "x";
        if (variant is "cross" or "two streams")
        {
            inputs.Add(TestModels.Input("context", DataType.Float, -1, 3, width));
            context = "context";
        }
        if (variant == "one key for all rows")
        {
            inputs.Add(TestModels.Input("context", DataType.Float, 1, 3, width));
            context = "context";
        }
        string q, k, v;
        if (variant == "two streams")
        {
            string Both(string name)
            {
                Add("Concat", [Heads(Project("x", name)), Heads(Project(context, name + "_c"))], name + "_both", n => n.With("axis", 2));
                return name + "_both";
            }
            (q, k, v) = (Both("q"), Both("k"), Both("v"));
        }
        else if (variant == "heads not split")
        {
            // One head of one product that was never split.
            foreach (var name in (string[])["q", "k", "v"])
            {
                Project("x", name);
                initializers.Add(Tensors.Vector($"one_{name}", 1L));
                Add("Unsqueeze", [name, $"one_{name}"], name + "_heads");
            }
            (q, k, v) = ("q_heads", "k_heads", "v_heads");
        }
        else
        {
            (q, k) = (Heads(Project("x", "q"), variant == "norm on heads"), Heads(Project(context, "k")));
            if (variant == "value width")
            {
                Project(context, "v", 12);
                initializers.Add(Tensors.Vector("split_v", 0L, -1, heads, 3));
                initializers[1] = Tensors.Vector("join", 0L, -1, 12);
                Add("Reshape", ["v", "split_v"], "v_split");
                Add("Transpose", ["v_split"], "v_heads", n => n.With("perm", 0, 2, 1, 3));
                v = "v_heads";
            }
            else if (variant == "one head for all")
            {
                Project(context, "v", 6);
                initializers.Add(Tensors.Vector("one", 1L));
                Add("Unsqueeze", ["v", "one"], "v_heads");
                v = "v_heads";
            }
            else
            {
                v = Heads(Project(context, "v"));
            }
        }

        if (variant == "key by heads" || variant == "two streams" || variant == "heads not split")
        {
            Add("Transpose", [k], "kt", n => n.With("perm", 0, 1, 3, 2));
        }
        else
        {
            Add("Transpose", ["k_split"], "kt", n => n.With("perm", 0, 2, 3, 1));
        }
        var kt = "kt";
        if (variant is "scale on q" or "scale on both" or "negative scale" or "scale per head")
        {
            Add("Mul", [q, variant == "negative scale" ? "negative" : variant == "scale per head" ? "perHead" : "s"], "q_scaled");
            q = "q_scaled";
        }
        if (variant == "scale on both")
        {
            Add("Mul", ["s", kt], "kt_scaled");
            kt = "kt_scaled";
        }
        Add("MatMul", [q, kt], "scores");
        var scores = "scores";
        if (variant == "divided scores")
        {
            Add("Div", [scores, "divisor"], "divided");
            scores = "divided";
        }
        if (variant == "mask B1ST")
            inputs.Add(TestModels.Input("mask", DataType.Float, -1, 1, 5, 5));
        var mask = variant switch { "mask B1ST" => "mask", "mask 11ST" or "mask on the left" => "mask11ST", "mask ST" => "maskST", "mask per head and row" => "maskRow", _ => null };
        if (mask is not null)
        {
            Add("Add", variant == "mask on the left" ? [mask, scores] : [scores, mask], "masked");
            scores = "masked";
        }
        Add("Softmax", [scores], "probabilities", n => n.With("axis", variant == "softmax over queries" ? 2 : -1));
        var p = "probabilities";
        if (variant == "mask after the softmax")
        {
            Add("Add", [p, "mask11ST"], "p_masked");
            p = "p_masked";
        }
        if (variant == "casts")
        {
            Add("Cast", [p], "p_cast", n => n.With("to", 1));
            p = "p_cast";
        }
        Add("MatMul", [p, v], "o");
        Add("Transpose", ["o"], "o_split", n => n.With("perm", 0, 2, 1, 3));
        Add("Reshape", ["o_split", variant == "output rank 4" ? "join4" : "join"], "y");
        if (variant == "scores are read")
            outputs.Add("scores");
        if (variant == "probabilities are read")
            outputs.Add("probabilities");
        return TestModels.Create(inputs, outputs, initializers, [.. nodes]);
    }

    private static void AssertSame(ModelProto a, ModelProto b)
    {
        using var folder = new TempFolder();
        OnnxFile.Save(a, folder["a.onnx"], folder["a.data"]);
        OnnxFile.Save(b, folder["b.onnx"], folder["b.data"]);
        using var before = ModelSession.Open(folder["a.onnx"], new SessionSettings { Threads = 1 });
        using var after = ModelSession.Open(folder["b.onnx"], new SessionSettings { Threads = 1 });
        AssertSame(before, after, before.Inputs.ToDictionary(i => i.Name, i => i.Shape.Select(d => d > 0 ? d : 7).ToArray()));
    }

    private static void AssertSame(ModelSession before, ModelSession after, Dictionary<string, long[]> shapes)
    {
        using var a = before.Bind(shapes);
        using var b = after.Bind(shapes);
        var seed = 0;
        foreach (var input in before.Inputs)
        {
            Fill(a, input, seed++);
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
            Assert.IsGreaterThan(0, norm);
            Assert.IsLessThanOrEqualTo(1e-5 * norm, error, output.Name);
        }
    }

    private static void Fill(ModelBinding binding, Port port, int seed)
    {
        var random = new Random(seed);
        if (port.Type.Type == typeof(float))
        {
            foreach (ref var value in binding.Input<float>(port.Name))
                value = (float)(random.NextDouble() * 2 - 1);
        }
        else
        {
            foreach (ref var value in binding.Input<long>(port.Name))
                value = port.Name.Contains("mask", StringComparison.Ordinal) ? 1 : random.Next(1, 10);
        }
    }
}
