using Microsoft.ML.OnnxRuntime;
using QuantSdk.Engines;
using QuantSdk.Onnx;
using QuantSdk.Runtime;
using QuantSdk.Tests.Onnx;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Tests.Engines;

[TestClass]
public sealed class OrtEngineTests
{
    /// <summary>ONNX Runtime packs such a weight into two buffers, one of them empty, and cannot read the empty one back.</summary>
    [TestMethod]
    public void A_large_depthwise_convolution_loads_again_and_computes_the_same()
    {
        const int Channels = 72;
        var codes = new sbyte[Channels * 25];
        new Random(1).NextBytes(System.Runtime.InteropServices.MemoryMarshal.AsBytes(codes.AsSpan()));
        var model = TestModels.Create([TestModels.Input("x", DataType.Float, -1, Channels, 9, 9)], ["y"],
            [Tensors.Create("w_q", codes, Channels, 1, 5, 5), Tensors.Vector("w_scale", [.. Enumerable.Repeat(0.01f, Channels)]), Tensors.Vector("w_zero", new sbyte[Channels]), Tensors.Scalar("scale", 0.02f), Tensors.Scalar("zero", (byte)128)],
            Nodes.Create("QuantizeLinear", "q", ["x", "scale", "zero"], ["x_q"]), Nodes.Create("DequantizeLinear", "dq", ["x_q", "scale", "zero"], ["x_dq"]),
            Nodes.Create("DequantizeLinear", "wdq", ["w_q", "w_scale", "w_zero"], ["w"]).With("axis", 0L),
            Nodes.Create("Conv", "conv", ["x_dq", "w"], ["c"]).With("group", (long)Channels).With("kernel_shape", 5, 5).With("pads", 2, 2, 2, 2),
            Nodes.Create("QuantizeLinear", "q2", ["c", "scale", "zero"], ["c_q"]), Nodes.Create("DequantizeLinear", "dq2", ["c_q", "scale", "zero"], ["y"]));
        using var folder = new TempFolder();
        OnnxFile.Save(model, folder["model.onnx"], folder["model.data"]);

        OrtEngine.Optimise(folder["model.onnx"], folder["optimised.onnx"], 2);

        Assert.Contains("QLinearConv", OnnxFile.Load(folder["optimised.onnx"]).Graph.Node.Select(n => n.OpType));
        using var engine = ModelSession.Open(folder["optimised.onnx"], new SessionSettings { Threads = 2, Optimisation = GraphOptimizationLevel.ORT_DISABLE_ALL });
        using var portable = ModelSession.Open(folder["model.onnx"], new SessionSettings { Threads = 2 });
        var input = new Dictionary<string, ModelTensor> { ["x"] = ModelTensor.Create(TestModels.Random(2 * Channels * 81, 2), 2, Channels, 9, 9) };
        CollectionAssert.AreEqual(portable.Run(input)["y"].AsSpan<float>().ToArray(), engine.Run(input)["y"].AsSpan<float>().ToArray());
    }

    /// <summary>Packed weights behind data of an odd length are written askew, and the kernel that maps them faults.</summary>
    [TestMethod]
    public void A_float_product_behind_odd_data_runs_on_its_packed_weights()
    {
        const int Wide = 264, Narrow = 120;
        var model = TestModels.Create([TestModels.Input("x", DataType.Float, -1, 8, Narrow)], ["y"],
            [Tensors.Vector("b", TestModels.Random(Wide, 1)), Tensors.Create("w", TestModels.Random(Narrow * Wide, 2), Narrow, Wide), Tensors.Create("v", TestModels.Random(Wide * Narrow, 3), Wide, Narrow), Tensors.Vector("c", TestModels.Random(Wide, 4))],
            Nodes.Create("MatMul", "m", ["x", "w"], ["xw"]), Nodes.Create("Mul", "mul", ["xw", "b"], ["xwb"]), Nodes.Create("Sigmoid", "s", ["xwb"], ["t"]), Nodes.Create("Mul", "mul2", ["t", "c"], ["u"]), Nodes.Create("MatMul", "n", ["u", "v"], ["y"]));
        using var folder = new TempFolder();
        OnnxFile.Save(model, folder["model.onnx"], folder["model.data"]);

        OrtEngine.Optimise(folder["model.onnx"], folder["optimised.onnx"], 2);

        var packed = ModelProto.Parser.ParseFrom(File.ReadAllBytes(folder["optimised.onnx"])).Graph.Initializer.SelectMany(t => t.ExternalData).Where(e => e.Key.StartsWith("prepacked", StringComparison.Ordinal)).ToArray();
        Assert.IsNotEmpty(packed);
        foreach (var entry in packed)
            Assert.AreEqual(0, long.Parse(entry.Value.Split('|')[1].Split(';')[0], System.Globalization.CultureInfo.InvariantCulture) % 64, entry.Value);
        using var engine = ModelSession.Open(folder["optimised.onnx"], new SessionSettings { Threads = 2, Optimisation = GraphOptimizationLevel.ORT_DISABLE_ALL });
        using var portable = ModelSession.Open(folder["model.onnx"], new SessionSettings { Threads = 2 });
        var input = new Dictionary<string, ModelTensor> { ["x"] = ModelTensor.Create(TestModels.Random(16 * Narrow, 5), 2, 8, Narrow) };
        CollectionAssert.AreEqual(portable.Run(input)["y"].AsSpan<float>().ToArray(), engine.Run(input)["y"].AsSpan<float>().ToArray());
    }

    /// <summary>ONNX Runtime writes what belongs to a body twice and then refuses its own file.</summary>
    [TestMethod]
    public void Weights_inside_a_branch_load_again_and_compute_the_same()
    {
        var model = TestModels.Create([TestModels.Input("x", DataType.Float, -1, 32), TestModels.Input("choice", DataType.Bool)], ["y"], [],
            Branches("if", ("then_branch", Branch("a", 1)), ("else_branch", Branch("b", 2))));
        using var folder = new TempFolder();
        OnnxFile.Save(model, folder["model.onnx"], folder["model.data"]);

        OrtEngine.Optimise(folder["model.onnx"], folder["optimised.onnx"], 2);

        // As it is shipped: without the file that it was made from.
        using var portable = ModelSession.Open(folder["model.onnx"], new SessionSettings { Threads = 2 });
        File.Delete(folder["model.data"]);
        using var engine = ModelSession.Open(folder["optimised.onnx"], new SessionSettings { Threads = 2, Optimisation = GraphOptimizationLevel.ORT_DISABLE_ALL });
        foreach (var choice in (bool[])[true, false])
        {
            var input = new Dictionary<string, ModelTensor> { ["x"] = ModelTensor.Create(TestModels.Random(64, 3), 2, 32), ["choice"] = ModelTensor.Create<bool>([choice]) };
            CollectionAssert.AreEqual(portable.Run(input)["y"].AsSpan<float>().ToArray(), engine.Run(input)["y"].AsSpan<float>().ToArray());
        }

        static GraphProto Branch(string name, int seed)
        {
            var body = new GraphProto { Name = name };
            body.Initializer.Add(Tensors.Create($"{name}_w", TestModels.Random(32 * 32, seed), 32, 32));
            body.Node.Add(Nodes.Create("MatMul", $"{name}_product", ["x", $"{name}_w"], [$"{name}_y"]));
            body.Output.Add(TestModels.Input($"{name}_y", DataType.Float, -1, 32));
            return body;
        }

        static NodeProto Branches(string name, params (string Attribute, GraphProto Body)[] branches)
        {
            var node = Nodes.Create("If", name, ["choice"], ["y"]);
            node.Attribute.Add(branches.Select(b => new AttributeProto { Name = b.Attribute, Type = AttributeProto.Types.AttributeType.Graph, G = b.Body }));
            return node;
        }
    }
}
