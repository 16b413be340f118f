using System.Runtime.InteropServices;
using Google.Protobuf;
using QuantSdk.Calibration;
using QuantSdk.Engines;
using QuantSdk.Onnx;
using QuantSdk.Onnx.Upgrading;
using QuantSdk.Quality;
using QuantSdk.Recipes;
using QuantSdk.Rewriting;
using QuantSdk.Runtime;
using QuantSdk.Tests.Calibration;
using QuantSdk.Tests.Onnx;
using QuantSdk.Tests.Onnx.Upgrading;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Tests.Rewriting;

/// <summary>Float models narrowed here, weight by weight, and widened by the library.</summary>
[TestClass]
public sealed class Float32TwinTests
{
    public static IEnumerable<object[]> Models =>
        from path in (string[])[Repository.Data("archs/flux_tiny.onnx"), Repository.Data("archs/llama_tiny.onnx"), Repository.Data("archs/t5_encoder_tiny.onnx"), Repository.Data("archs/vae_decoder_tiny.onnx"), Repository.Digits("digits_cnn.onnx")]
        from type in (DataType[])[DataType.Float16, DataType.Bfloat16]
        select new object[] { path, type };

    [TestMethod]
    [DynamicData(nameof(Models))]
    public void The_twin_computes_what_the_model_with_rounded_weights_computes(string path, int type)
    {
        var model = OnnxFile.Load(path);
        var (narrow, rounded) = (Narrow(model.Proto, (DataType)type), Round(model.Proto, (DataType)type));
        var twin = Float32Twin.Of(model with { Proto = narrow });
        Assert.IsFalse(OnnxFile.AllTensors(twin.Graph).Any(t => t.DataType is (int)DataType.Float16 or (int)DataType.Bfloat16));
        using var folder = new TempFolder();
        OnnxFile.Save(model.Proto, folder["m.onnx"], folder["m.data"]);
        using var session = ModelSession.Open(folder["m.onnx"], new SessionSettings());
        // Numbers that either type holds, so that feeding rounds nothing.
        var inputs = session.Inputs.ToDictionary(i => i.Name, i => RandomRuns.Fill(i) is { Type: "float" } t ? ModelTensor.Create(Array.ConvertAll(t.AsSpan<float>().ToArray(), v => MathF.Round(v * 64) / 64), [.. t.Shape]) : RandomRuns.Fill(i));
        var halfInputs = inputs.ToDictionary(i => i.Key, i => i.Value.Type == "float" && type == (int)DataType.Float16 ? ModelTensor.Create(Array.ConvertAll(i.Value.AsSpan<float>().ToArray(), v => (Half)v), [.. i.Value.Shape]) : i.Value);
        var actual = RandomRuns.Run(twin.Proto, halfInputs);
        // An output in float16 is rounded once, at the end: 2^-11 of each number at most.
        Assert.IsGreaterThan(type == (int)DataType.Float16 ? 65 : 120, RandomRuns.Sqnr(RandomRuns.Run(rounded, inputs), actual), "the rounded model");
        // Rounded constants are tables of angles too, which is what these models feel most.
        Assert.IsGreaterThan(type == (int)DataType.Float16 ? 20 : 10, RandomRuns.Sqnr(RandomRuns.Run(model.Proto, inputs), actual), "the float model");
    }

    [TestMethod]
    public void Float16_ports_keep_their_names_and_types_and_bfloat16_ports_are_float()
    {
        foreach (var (type, port) in ((DataType, int)[])[(DataType.Float16, 10), (DataType.Bfloat16, 1)])
        {
            var model = OnnxFile.Load(Repository.Digits("digits_cnn.onnx"));
            var twin = Float32Twin.Of(model with { Proto = Narrow(model.Proto, type) }).Graph;
            CollectionAssert.AreEqual(model.Graph.Input.Select(i => (i.Name, port)).ToArray(), twin.Input.Select(i => (i.Name, i.Type.TensorType.ElemType)).ToArray());
            CollectionAssert.AreEqual(model.Graph.Output.Select(o => (o.Name, port)).ToArray(), twin.Output.Select(o => (o.Name, o.Type.TensorType.ElemType)).ToArray());
        }
    }

    [TestMethod]
    public void A_float_model_is_its_own_twin()
    {
        var model = OnnxFile.Load(Repository.Digits("digits_cnn.onnx"));
        Assert.AreSame(model, Float32Twin.Of(model));
    }

    [TestMethod]
    public void Islands_in_float_lose_the_casts_around_them()
    {
        // float16 in and out, a softmax in float between, a body that reads the input and one that makes the output.
        var body = new GraphProto { Name = "body" };
        body.Node.Add(Nodes.Create("Add", "add", ["t", "x"], ["b"]));
        body.Output.Add(new ValueInfoProto { Name = "b", Type = new TypeProto { TensorType = new TypeProto.Types.Tensor { ElemType = (int)DataType.Float16 } } });
        var model = TestModels.Create(
            [TestModels.Input("x", DataType.Float16, 2, 4), TestModels.Input("flag", DataType.Bool)], [], [Tensors.Create("w", Array.ConvertAll(TestModels.Random(16, 1), v => (Half)v), 4, 4), Tensors.Scalar("two", (Half)2)],
            Nodes.Create("MatMul", "product", ["x", "w"], ["m"]), Nodes.Create("Cast", "up", ["m"], ["u"]).With("to", 1L), Nodes.Create("Softmax", "softmax", ["u"], ["p"]), Nodes.Create("Cast", "down", ["p"], ["s"]).With("to", 10L), Nodes.Create("Mul", "twice", ["s", "two"], ["t"]),
            Nodes.Create("If", "choose", ["flag"], ["y"]).Body("then_branch", body).Body("else_branch", body.Clone()));
        model.Graph.Output.Add(TestModels.Input("y", DataType.Float16, 2, 4));
        var original = new OnnxModel(model, "test.onnx", []);
        var twin = Float32Twin.Of(original);
        var inputs = new Dictionary<string, ModelTensor> { ["x"] = ModelTensor.Create(Array.ConvertAll(TestModels.Random(8, 2), v => (Half)v), 2, 4), ["flag"] = ModelTensor.Create([true]) };
        Assert.IsGreaterThan(60, RandomRuns.Sqnr(RandomRuns.Run(model, inputs), RandomRuns.Run(twin.Proto, inputs)));
        var simplified = Simplification.Simplify(twin).Graph;
        Assert.AreEqual("Cast MatMul Softmax Mul If Cast", string.Join(' ', simplified.Node.Select(n => n.OpType)));
    }

    [TestMethod]
    [DataRow((int)DataType.Float16)]
    [DataRow((int)DataType.Bfloat16)]
    public void A_16_bit_model_is_built_like_a_float_one(int type)
    {
        using var folder = new TempFolder();
        var model = OnnxFile.Load(Repository.Digits("digits_cnn.onnx"));
        OnnxFile.Save(Narrow(model.Proto, (DataType)type), folder["cnn.onnx"], folder["cnn.data"]);
        var request = new BuildRequest("cnn", folder["cnn.onnx"], Repository.Digits(""), folder["engine"], null, 2, new Dictionary<string, string> { ["CalibrationData"] = "digits_calib.npz" }, null);
        var result = ModelBuilder.Build(request, new SilentLog(), default);
        Assert.HasCount(13, result.Plan!.Layers);
        Assert.IsGreaterThan(30, result.Manifest.Quality[0].SqnrDb);
        Assert.AreEqual(type == (int)DataType.Float16 ? "float16" : "float", result.Manifest.Inputs[0].Type);
    }

    /// <summary>Every float tensor, type and cast of the graph in 16 bits.</summary>
    private static ModelProto Narrow(ModelProto model, DataType type)
    {
        var narrow = model.Clone();
        foreach (var tensor in OnnxFile.AllTensors(narrow.Graph).Where(t => t.DataType == (int)DataType.Float))
        {
            var floats = tensor.ToFloats();
            tensor.DataType = (int)type;
            tensor.RawData = ByteString.CopyFrom(MemoryMarshal.AsBytes(Array.ConvertAll(floats, v => Bits(v, type)).AsSpan()));
        }
        foreach (var value in narrow.Graph.Input.Concat(narrow.Graph.Output).Concat(narrow.Graph.ValueInfo).Where(v => v.Type?.TensorType?.ElemType == (int)DataType.Float))
            value.Type.TensorType.ElemType = (int)type;
        foreach (var to in narrow.Graph.Node.Where(n => n.OpType == "Cast").Select(n => n.Attribute("to")!).Where(a => a.I == (int)DataType.Float))
            to.I = (int)type;
        return narrow;
    }

    /// <summary>The float model whose constants are those of the narrow one.</summary>
    private static ModelProto Round(ModelProto model, DataType type)
    {
        var rounded = model.Clone();
        foreach (var tensor in OnnxFile.AllTensors(rounded.Graph).Where(t => t.DataType == (int)DataType.Float))
            tensor.RawData = ByteString.CopyFrom(MemoryMarshal.AsBytes(Array.ConvertAll(tensor.ToFloats(), v => type == DataType.Float16 ? (float)BitConverter.UInt16BitsToHalf(Bits(v, type)) : BitConverter.Int32BitsToSingle(Bits(v, type) << 16)).AsSpan()));
        return rounded;
    }

    private static ushort Bits(float value, DataType type)
    {
        if (type == DataType.Float16)
            return BitConverter.HalfToUInt16Bits((Half)value);
        var bits = BitConverter.SingleToUInt32Bits(value);
        // Round half to even on the 16 bits that go.
        return (ushort)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
    }
}
