using QuantSdk.Engines.TensorRt.Rules;
using QuantSdk.Onnx;
using QuantSdk.Onnx.Upgrading;
using QuantSdk.Runtime;
using QuantSdk.Tests.Onnx;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Tests.Engines.TensorRt.Rules;

/// <summary>A sound graph, one violation planted at a time: it is found, and nothing else.</summary>
[TestClass]
public sealed class GraphRulesTests
{
    /// <param name="Rule">The rule that it breaks.</param>
    /// <param name="Refused">What ONNX Runtime's own refusal says where it can judge; null where the graph is sound to ONNX.</param>
    private sealed record Violation(string Name, string Rule, Func<ModelProto> Make, string? Refused = null);

    private static readonly Violation[] s_violations =
    [
        new("no zero point", "zero-point-stated", () => Change(m => { Q(m).Input.RemoveAt(2); Dq(m).Input.RemoveAt(2); })),
        new("computed zero point", "zero-point-constant", () => Change(m =>
        {
            m.Graph.Input.Add(TestModels.Input("zp", DataType.Int8));
            Q(m).Input[2] = Dq(m).Input[2] = "zp";
        })),
        new("zero point of 3", "zero-point-zero", () => Change(m => Set(m, Tensors.Scalar("zero", (sbyte)3)))),
        new("zero point of another shape", "zero-point-shape", () => Change(m => Set(m, Tensors.Vector("wz", new sbyte[8]))), "x_zero_point must be null or 1D tensor with size"),
        new("scale of 0", "scale-positive", () => Change(m => Set(m, Tensors.Scalar("xs", 0f)))),
        new("scale of a weight below 0", "scale-positive", () => Change(m => Set(m, Tensors.Vector("ws", [.. Enumerable.Repeat(0.01f, 15), -1f])))),
        new("scale that is NaN", "scale-positive", () => Change(m => Set(m, Tensors.Scalar("xs", float.NaN)))),
        new("activation by channel", "activation-per-tensor", () => Change(m =>
        {
            Set(m, Tensors.Vector("xs", Enumerable.Repeat(0.1f, 32).ToArray()));
            Set(m, Tensors.Vector("zero", new sbyte[32]));
            Q(m).With("axis", -1L);
            Dq(m).With("axis", -1L);
        })),
        new("axis left out", "axis-written", () => Change(m => W(m).Attribute.Clear())),
        new("scale of rank 3", "scale-rank", () => Change(m =>
        {
            Set(m, Tensors.Create("ws", Enumerable.Repeat(0.1f, 16).ToArray(), 1, 1, 16));
            Set(m, Tensors.Create("wz", new sbyte[16], 1, 1, 16));
        }), "scale"),
        new("too few scales", "scale-count", () => Change(m =>
        {
            Set(m, Tensors.Vector("ws", Enumerable.Repeat(0.1f, 8).ToArray()));
            Set(m, Tensors.Vector("wz", new sbyte[8]));
        }), "scale"),
        new("scales along the inputs", "channel-axis", () => Change(m =>
        {
            Set(m, Tensors.Vector("ws", Enumerable.Repeat(0.1f, 32).ToArray()));
            Set(m, Tensors.Vector("wz", new sbyte[32]));
            W(m).Attribute[0].I = 0;
        })),
        new("scale of half for floats", "scale-type", () => Change(m =>
        {
            Set(m, Tensors.Scalar("xs2", (Half)0.1f));
            Q(m).Input[1] = "xs2";
        }, 19), "Type parameter (T1)"),
        new("scale of float for halves", "scale-of-half", () => Half(m =>
        {
            Set(m, Tensors.Scalar("xs2", 0.1f));
            Q(m).Input[1] = "xs2";
        }), "Type parameter (T1)"),
        new("bias in int32", "bias-in-float", () => Change(m =>
        {
            m.Graph.Initializer.Add([Tensors.Vector("b", new int[16]), Tensors.Scalar("bs", 0.01f)]);
            m.Graph.Node.Insert(0, Nodes.Create("DequantizeLinear", "bias", ["b", "bs"], ["bd"]));
            m.Graph.Node[^1].Output[0] = "raw";
            m.Graph.Node.Add(Nodes.Create("Add", "add", ["raw", "bd"], ["y"]));
        })),
        new("E5M2", "fp8-e4m3", () => Change(m => Set(m, Tensors.Raw("zero", DataType.Float8E5M2, [0])), 19)),
        new("uint8", "quantised-type", () => Change(m => Set(m, Tensors.Scalar("zero", (byte)0)))),
        new("uint4 weight", "quantised-type", () => Change(m =>
        {
            Set(m, Tensors.Raw("w", DataType.Uint4, new byte[256], 32, 16));
            Set(m, Tensors.Raw("wz", DataType.Uint4, new byte[8], 16));
        }, 21)),
        new("scalar quantised", "quantised-rank", () => Change(m =>
        {
            m.Graph.Input.Add(TestModels.Input("s", DataType.Float));
            m.Graph.Node.Add([Nodes.Create("QuantizeLinear", "sq", ["s", "xs", "zero"], ["sq"]), Nodes.Create("DequantizeLinear", "sd", ["sq", "xs", "zero"], ["sd"])]);
            m.Graph.Output.Add(new ValueInfoProto { Name = "sd" });
        })),
        new("fp8 that does not saturate", "fp8-saturate", () => Change(m =>
        {
            Set(m, Tensors.Raw("zero", DataType.Float8E4M3Fn, [0]));
            Q(m).With("saturate", 0L);
        }, 19)),
        new("int4 activation", "int4-weights", () => Change(m => Set(m, Tensors.Raw("zero", DataType.Int4, [0])), 21)),
        new("odd number of int4", "int4-even", () => Int4(m =>
        {
            Set(m, Tensors.Raw("w", DataType.Int4, new byte[1], 1, 1));
            Set(m, Tensors.Vector("ws", 0.1f));
            Set(m, Tensors.Raw("wz", DataType.Int4, new byte[1], 1));
            W(m).Attribute.RemoveAt(1);
            m.Graph.Input[0] = TestModels.Input("x", DataType.Float, -1, 1);
        })),
        new("fp8 at opset 18", "opset", () => Change(m => Set(m, Tensors.Raw("zero", DataType.Float8E4M3Fn, [0])), 18), "tensor(float8e4m3fn)"),
        new("int4 at opset 20", "opset", () => Int4(m => m.OpsetImport[0].Version = 20), "tensor(int4)"),
        new("half scale at opset 18", "opset", () => Half(m => m.OpsetImport[0].Version = 18), "tensor(float16)"),
        new("blocks along the third last axis", "block-axis", () => Int4(m =>
        {
            Set(m, Tensors.Create("w", new sbyte[128 * 32], 128, 2, 16));
            Set(m, Tensors.Create("ws", Enumerable.Repeat(0.1f, 64).ToArray(), 2, 2, 16));
            Set(m, Tensors.Create("wz", new sbyte[64], 2, 2, 16));
            m.Graph.Input[0] = TestModels.Input("x", DataType.Float, 128, -1, 2);
        })),
        new("blocks along two axes", "block-one-axis", () => Int4(m =>
        {
            Set(m, Tensors.Create("ws", Enumerable.Repeat(0.1f, 16).ToArray(), 2, 8));
            Set(m, Tensors.Raw("wz", DataType.Int4, new byte[8], 2, 8));
        }), "scale"),
        new("half a block", "block-whole", () => Int4(m =>
        {
            Set(m, Tensors.Create("ws", Enumerable.Repeat(0.1f, 48).ToArray(), 3, 16));
            Set(m, Tensors.Raw("wz", DataType.Int4, new byte[24], 3, 16));
        }), "scale"),
        new("blocks of 32", "int4-block", () => Int4(m =>
        {
            Set(m, Tensors.Create("ws", Enumerable.Repeat(0.1f, 64).ToArray(), 4, 16));
            Set(m, Tensors.Raw("wz", DataType.Int4, new byte[32], 4, 16));
            W(m).Attribute.Single(a => a.Name == "block_size").I = 32;
        })),
        new("blocks of output channels", "int4-reduction", () => Int4(m =>
        {
            Set(m, Tensors.Raw("w", DataType.Int4, new byte[128 * 64], 128, 128));
            Set(m, Tensors.Create("ws", Enumerable.Repeat(0.1f, 256).ToArray(), 128, 2));
            Set(m, Tensors.Raw("wz", DataType.Int4, new byte[128], 128, 2));
            W(m).Attribute.Single(a => a.Name == "axis").I = 1;
        })),
        new("float4 with one scale", "nvfp4-weight", () => Change(m =>
        {
            Set(m, Tensors.Raw("w", DataType.Float4E2M1, new byte[256], 32, 16));
            Set(m, Tensors.Raw("wz", DataType.Float4E2M1, new byte[8], 16));
        }, 23)),
        new("nvfp4 activation in blocks of 32", "nvfp4-activation", () => TensorRtOperator("TRT_FP4DynamicQuantize", ["x", "xs"], node => node.With("axis", -1L).With("block_size", 32L).With("scale_type", (long)DataType.Float8E4M3Fn))),
        new("mxfp8 in blocks of 16", "mxfp8", () => TensorRtOperator("TRT_MXFP8DynamicQuantize", ["x"], node => node.With("axis", -1L).With("block_size", 16L))),
        new("nvfp4 of a dynamic axis", "block-extent", () =>
        {
            var model = TensorRtOperator("TRT_FP4DynamicQuantize", ["x", "xs"], node => node.With("axis", -1L).With("block_size", 16L).With("scale_type", (long)DataType.Float8E4M3Fn));
            model.Graph.Input[0] = TestModels.Input("x", DataType.Float, 4, -1);
            return model;
        }),
        new("quantised operator", "quantised-operators", () => Change(m =>
        {
            m.Graph.Node.Add(Nodes.Create("DynamicQuantizeLinear", "dynamic", ["x"], ["dq", "ds", "dz"]));
            m.Graph.Output.Add(new ValueInfoProto { Name = "dq" });
        })),
        new("operator of ONNX Runtime", "runtime-operators", () => Change(m => Behind(m, "Gelu", "com.microsoft"))),
        new("operator of nobody", "plugins", () => Change(m => Behind(m, "Swish", "acme")), "acme"),
        new("float and half", "one-type", () => Change(m =>
        {
            m.Graph.Initializer.Add(Tensors.Scalar("two", (Half)2));
            m.Graph.Node[^1].Output[0] = "raw";
            m.Graph.Node.Add(Nodes.Create("Mul", "mul", ["raw", "two"], ["y"]));
        }), "Type parameter (T)"),
        new("normalisation with a float scale", "one-type", () => Half(m =>
        {
            m.Graph.Initializer.Add(Tensors.Vector("gamma", new float[16]));
            m.Graph.Node[^1].Output[0] = "raw";
            m.Graph.Node.Add(Nodes.Create("LayerNormalization", "norm", ["raw", "gamma"], ["y"]));
        }), "Type parameter (T)"),
        new("output of another type", "output-type", () => Change(m => m.Graph.Output[0] = TestModels.Input("y", DataType.Float16, -1, 16)), "does not match expected type"),
        new("Resize of bfloat16", "resize-bf16", () => Resize(DataType.Bfloat16)),
        new("Resize of half", "resize-fp32", () => Resize(DataType.Float16)),
        new("double", "no-double", () => Change(m =>
        {
            m.Graph.Input.Add(TestModels.Input("wide", DataType.Double, -1, 4));
            m.Graph.Node.Add(Nodes.Create("Neg", "neg", ["wide"], ["n"]));
            m.Graph.Output.Add(new ValueInfoProto { Name = "n" });
        })),
        new("weight in float", "both-inputs", () => Change(m =>
        {
            m.Graph.Initializer.Add(Tensors.Create("wf", new float[512], 32, 16));
            m.Graph.Node[^1].Input[1] = "wf";
            m.Graph.Node.Remove(W(m));
        })),
        new("output quantised", "output-unquantised", () => Change(m =>
        {
            m.Graph.Node[^1].Output[0] = "raw";
            m.Graph.Node.Add([Nodes.Create("QuantizeLinear", "yq", ["raw", "xs", "zero"], ["yq"]), Nodes.Create("DequantizeLinear", "yd", ["yq", "xs", "zero"], ["yd"]), Nodes.Create("Relu", "relu", ["yd"], ["y"])]);
        })),
        new("two pairs", "one-pair", () => Change(m =>
        {
            m.Graph.Initializer.Add(Tensors.Scalar("xs2", 0.1f));
            m.Graph.Node.Insert(2, Nodes.Create("DequantizeLinear", "d2", ["q2"], ["x2"]));
            m.Graph.Node[2].Input.Add(["xs2", "zero"]);
            m.Graph.Node.Insert(2, Nodes.Create("QuantizeLinear", "q2", ["x", "xs2", "zero"], ["q2"]));
            m.Graph.Node.Add(Nodes.Create("MatMul", "m2", ["x2", "wd"], ["y2"]));
            m.Graph.Output.Add(new ValueInfoProto { Name = "y2" });
        })),
        new("batch normalisation", "batch-norm-folded", () => Convolution(m =>
        {
            m.Graph.Initializer.Add([Tensors.Vector("ones", Enumerable.Repeat(1f, 8).ToArray()), Tensors.Vector("zeros", new float[8])]);
            m.Graph.Node[^1].Output[0] = "raw";
            m.Graph.Node.Add(Nodes.Create("BatchNormalization", "norm", ["raw", "ones", "zeros", "zeros", "ones"], ["y"]));
        })),
        new("residual past its pair", "residual", () => Convolution(m =>
        {
            m.Graph.Node[^1].Output[0] = "raw";
            m.Graph.Node.Add(Nodes.Create("Add", "add", ["raw", "x"], ["y"]));
        })),
    ];

    public static IEnumerable<object[]> Names => s_violations.Select(v => new object[] { v.Name });

    [TestMethod]
    [DynamicData(nameof(Names))]
    public void A_planted_violation_is_found(string name)
    {
        var violation = s_violations.Single(v => v.Name == name);
        var model = violation.Make();
        var findings = GraphRules.Check(model);
        CollectionAssert.AreEqual(new[] { violation.Rule }, findings.Select(f => f.Rule).Distinct().ToArray(), string.Join("\n", findings));
        Assert.AreEqual(GraphRules.All.Single(r => r.Name == violation.Rule).IsError, findings[0].Severity == "error");
        if (violation.Refused is { } refusal)
            StringAssert.Contains(Refusal(model), refusal);
    }

    [TestMethod]
    public void Every_rule_has_a_violation() =>
        Assert.AreEqual("", string.Join(" ", GraphRules.All.Select(r => r.Name).Except(s_violations.Select(v => v.Rule))));

    [TestMethod]
    public void Sound_graphs_have_none_and_ONNX_Runtime_takes_them()
    {
        foreach (var model in (ModelProto[])[Change(_ => { }), Half(_ => { }), Int4(_ => { }), Convolution(_ => { })])
        {
            Assert.AreEqual("", string.Join("\n", GraphRules.Check(model)));
            Assert.AreEqual("", Refusal(model));
        }
    }

    [TestMethod]
    public void A_body_is_looked_into_and_the_message_says_where()
    {
        var body = Change(m => Set(m, Tensors.Scalar("zero", (sbyte)3))).Graph;
        body.Input.Clear();
        var model = TestModels.Create([TestModels.Input("flag", DataType.Bool), TestModels.Input("x", DataType.Float, -1, 32)], ["z"], [],
            Nodes.Create("If", "choose", ["flag"], ["z"]));
        foreach (var branch in (string[])["then_branch", "else_branch"])
            model.Graph.Node[0].Attribute.Add(new AttributeProto { Name = branch, Type = AttributeProto.Types.AttributeType.Graph, G = body });
        var error = Assert.ThrowsExactly<QuantSdkException>(() => GraphRules.Require(model, "m.onnx"));
        Assert.AreEqual("QSDK3100", error.Code);
        StringAssert.Contains(error.Message, "'q'");
        StringAssert.Contains(error.Message, "zero-point-zero");
        GraphRules.Require(Resize(DataType.Float16), "m.onnx");
    }

    [TestMethod]
    public void The_page_lists_the_rules()
    {
        var table = string.Concat(GraphRules.All.Select(r => $"| `{r.Name}` | {(r.IsError ? "error" : "warning")} | {r.Text} |\n"));
        StringAssert.Contains(File.ReadAllText(Path.Combine(Repository.Root, "docs", "tensorrt.md")).ReplaceLineEndings("\n"), table, table);
    }

    private static string Refusal(ModelProto model)
    {
        using var folder = new TempFolder();
        OnnxFile.Save(model, folder["m.onnx"], folder["m.data"]);
        try
        {
            using var session = ModelSession.Open(folder["m.onnx"], new SessionSettings { Threads = 1, Entries = new Dictionary<string, string> { ["session.disable_quant_qdq"] = "1" } });
            session.Run(session.Inputs.ToDictionary(i => i.Name, RandomRuns.Fill));
            return "";
        }
        catch (QuantSdkException e)
        {
            return e.Message;
        }
    }

    private static NodeProto Q(ModelProto model) => model.Graph.Node.Single(n => n.Name == "q");

    private static NodeProto Dq(ModelProto model) => model.Graph.Node.Single(n => n.Name == "d");

    private static NodeProto W(ModelProto model) => model.Graph.Node.Single(n => n.Name == "w");

    private static void Set(ModelProto model, TensorProto tensor)
    {
        if (model.Graph.Initializer.FirstOrDefault(t => t.Name == tensor.Name) is { } old)
            model.Graph.Initializer.Remove(old);
        model.Graph.Initializer.Add(tensor);
    }

    /// <summary>x [n, 32] times a weight [32, 16], both in int8.</summary>
    private static ModelProto Change(Action<ModelProto> change, long opset = 17)
    {
        var model = TestModels.Create([TestModels.Input("x", DataType.Float, -1, 32)], ["y"],
            [Tensors.Scalar("xs", 0.1f), Tensors.Scalar("zero", (sbyte)0), Tensors.Create("w", new sbyte[512], 32, 16), Tensors.Vector("ws", Enumerable.Repeat(0.01f, 16).ToArray()), Tensors.Vector("wz", new sbyte[16])],
            Nodes.Create("QuantizeLinear", "q", ["x", "xs", "zero"], ["q"]), Nodes.Create("DequantizeLinear", "d", ["q", "xs", "zero"], ["d"]),
            Nodes.Create("DequantizeLinear", "w", ["w", "ws", "wz"], ["wd"]).With("axis", 1L), Nodes.Create("MatMul", "m", ["d", "wd"], ["y"]));
        return Finish(model, change, opset);
    }

    /// <summary>The same in half.</summary>
    private static ModelProto Half(Action<ModelProto> change) => Change(
        m =>
        {
            m.Graph.Input[0] = TestModels.Input("x", DataType.Float16, -1, 32);
            Set(m, Tensors.Scalar("xs", (Half)0.1f));
            Set(m, Tensors.Vector("ws", Enumerable.Repeat((Half)0.01f, 16).ToArray()));
            m.OpsetImport[0].Version = 19;
            change(m);
        }, 0);

    /// <summary>x [n, 128] times an int4 weight [128, 16] in blocks of 64.</summary>
    private static ModelProto Int4(Action<ModelProto> change)
    {
        var model = TestModels.Create([TestModels.Input("x", DataType.Float, -1, 128)], ["y"],
            [Tensors.Raw("w", DataType.Int4, new byte[1024], 128, 16), Tensors.Create("ws", Enumerable.Repeat(0.1f, 32).ToArray(), 2, 16), Tensors.Raw("wz", DataType.Int4, new byte[16], 2, 16)],
            Nodes.Create("DequantizeLinear", "w", ["w", "ws", "wz"], ["wd"]).With("axis", 0L).With("block_size", 64L), Nodes.Create("MatMul", "m", ["x", "wd"], ["y"]));
        model.OpsetImport[0].Version = 21;
        change(model);
        return Finish(model, _ => { }, 0);
    }

    /// <summary>x [n, 8, 4, 4] through a convolution of 3×3 with as many outputs, both in int8.</summary>
    private static ModelProto Convolution(Action<ModelProto> change)
    {
        var model = TestModels.Create([TestModels.Input("x", DataType.Float, -1, 8, 4, 4)], ["y"],
            [Tensors.Scalar("xs", 0.1f), Tensors.Scalar("zero", (sbyte)0), Tensors.Create("w", new sbyte[576], 8, 8, 3, 3), Tensors.Vector("ws", Enumerable.Repeat(0.01f, 8).ToArray()), Tensors.Vector("wz", new sbyte[8])],
            Nodes.Create("QuantizeLinear", "q", ["x", "xs", "zero"], ["q"]), Nodes.Create("DequantizeLinear", "d", ["q", "xs", "zero"], ["d"]),
            Nodes.Create("DequantizeLinear", "w", ["w", "ws", "wz"], ["wd"]).With("axis", 0L), Nodes.Create("Conv", "c", ["d", "wd"], ["y"]).With("pads", 1, 1, 1, 1));
        return Finish(model, change, 17);
    }

    private static ModelProto Resize(DataType type)
    {
        var model = TestModels.Create([TestModels.Input("x", type, 1, 2, 4, 4)], ["y"], [Tensors.Vector("scales", 1f, 1f, 2f, 2f)], Nodes.Create("Resize", "r", ["x", "", "scales"], ["y"]));
        return Finish(model, _ => { }, 19);
    }

    private static ModelProto TensorRtOperator(string op, string[] inputs, Action<NodeProto> attributes)
    {
        var node = Nodes.Create(op, "t", inputs, ["y", "s"], "trt");
        attributes(node);
        var model = TestModels.Create([TestModels.Input("x", DataType.Float, -1, 64)], ["y", "s"], [Tensors.Scalar("xs", 0.1f)], node);
        model.OpsetImport.Add(new OperatorSetIdProto { Domain = "trt", Version = 1 });
        return Finish(model, _ => { }, 23);
    }

    private static void Behind(ModelProto model, string op, string domain)
    {
        model.OpsetImport.Add(new OperatorSetIdProto { Domain = domain, Version = 1 });
        model.Graph.Node[^1].Output[0] = "raw";
        model.Graph.Node.Add(Nodes.Create(op, "custom", ["raw"], ["y"], domain));
    }

    private static ModelProto Finish(ModelProto model, Action<ModelProto> change, long opset)
    {
        if (opset > 0)
            model.OpsetImport[0].Version = opset;
        model.IrVersion = OpsetUpgrade.IrVersion(Math.Max(model.OpsetImport[0].Version, 23));
        change(model);
        return model;
    }
}
