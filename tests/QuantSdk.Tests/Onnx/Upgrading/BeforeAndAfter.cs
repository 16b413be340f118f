using Google.Protobuf;
using QuantSdk.Onnx;
using QuantSdk.Onnx.Upgrading;
using QuantSdk.Runtime;
using static QuantSdk.Onnx.AttributeProto.Types;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Tests.Onnx.Upgrading;

/// <summary>A graph of an old operator set, run in ONNX Runtime as it is and upgraded, on the same numbers.</summary>
internal sealed class BeforeAndAfter
{
    private readonly List<(string Name, ModelTensor Value, ValueInfoProto Info)> _inputs = [];
    private readonly List<TensorProto> _initializers = [];
    private readonly List<NodeProto> _nodes = [];
    private readonly Dictionary<long, IReadOnlyDictionary<string, ModelTensor>> _before = [];

    public static BeforeAndAfter Of(params NodeProto[] nodes)
    {
        var test = new BeforeAndAfter();
        test._nodes.AddRange(nodes);
        return test;
    }

    /// <summary>An input of random numbers in [−1, 1].</summary>
    /// <param name="unknown">True: the graph does not know the sizes, only the rank.</param>
    public BeforeAndAfter Input(string name, long[] dims, bool unknown = false, DataType type = DataType.Float)
    {
        var values = TestModels.Random((int)dims.Aggregate(1L, (a, b) => a * b), name.Length + dims.Length);
        var tensor = type == DataType.Double ? ModelTensor.Create(Array.ConvertAll(values, v => (double)v), dims) : ModelTensor.Create(values, dims);
        var info = TestModels.Input(name, type, dims);
        if (unknown)
        {
            for (var i = 0; i < dims.Length; i++)
                info.Type.TensorType.Shape.Dim[i] = new TensorShapeProto.Types.Dimension { DimParam = $"{name}{i}" };
        }
        _inputs.Add((name, tensor, info));
        return this;
    }

    public BeforeAndAfter Values<T>(string name, T[] values, params long[] dims)
        where T : unmanaged
    {
        var tensor = ModelTensor.Create(values, dims);
        _inputs.Add((name, tensor, TestModels.Input(name, (DataType)tensor.ElementType.Element, dims)));
        return this;
    }

    public BeforeAndAfter Constant(params TensorProto[] tensors)
    {
        _initializers.AddRange(tensors);
        return this;
    }

    public ModelProto Model(long opset)
    {
        var outputs = _nodes.SelectMany(n => n.Output).Where(o => o.StartsWith('y')).ToArray();
        var model = TestModels.Create(_inputs.Select(i => i.Info), outputs, _initializers.Select(t => t.Clone()), [.. _nodes.Select(n => n.Clone())]);
        model.OpsetImport[0].Version = opset;
        model.IrVersion = OpsetUpgrade.IrVersion(opset);
        return model;
    }

    /// <summary>Checks every output, and returns the upgraded model.</summary>
    public ModelProto Holds(long from, long to)
    {
        var model = new OnnxModel(Model(from), "test.onnx", []);
        var untouched = model.Proto.Clone();
        var upgraded = OpsetUpgrade.To(model, to);
        Assert.AreEqual(untouched, model.Proto, "the model itself is not changed");
        Assert.AreEqual(to, upgraded.Opset);
        Assert.IsGreaterThanOrEqualTo(OpsetUpgrade.IrVersion(to), upgraded.Proto.IrVersion);
        var what = $"{string.Join(" ", _nodes.Select(n => n.OpType + " " + string.Join(' ', n.Attribute.Select(a => a.Name + "=" + (a.HasI ? a.I : a.Ints)))))} {from} → {to}";
        Same(Before(from, model.Proto), Run(upgraded.Proto), what);
        return upgraded.Proto;
    }

    public void HoldsEverywhere(long from, params long[] to)
    {
        foreach (var opset in to.Where(t => t > from))
            Holds(from, opset);
    }

    public static void Same(IReadOnlyDictionary<string, ModelTensor> before, IReadOnlyDictionary<string, ModelTensor> after, string what)
    {
        CollectionAssert.AreEquivalent(before.Keys.ToArray(), after.Keys.ToArray(), what);
        foreach (var (name, a) in before)
        {
            var b = after[name];
            Assert.AreEqual(a.ToString(), b.ToString(), $"{what}: {name}");
            var (x, y) = (Numbers(a), Numbers(b));
            for (var i = 0; i < x.Length; i++)
                Assert.AreEqual(x[i], y[i], 1e-6 * Math.Max(1, Math.Abs(x[i])), $"{what}: {name}[{i}]");
        }
    }

    private IReadOnlyDictionary<string, ModelTensor> Before(long from, ModelProto model)
    {
        if (!_before.TryGetValue(from, out var before))
            _before[from] = before = Run(model);
        return before;
    }

    private Dictionary<string, ModelTensor> Inputs => _inputs.ToDictionary(i => i.Name, i => i.Value);

    private IReadOnlyDictionary<string, ModelTensor> Run(ModelProto model)
    {
        using var folder = new TempFolder();
        OnnxFile.Save(model, folder["m.onnx"], folder["m.data"]);
        using var session = ModelSession.Open(folder["m.onnx"], new SessionSettings { Threads = 2 });
        return session.Run(Inputs);
    }

    private static double[] Numbers(ModelTensor tensor) => tensor.Type switch
    {
        "float" => Array.ConvertAll(tensor.AsSpan<float>().ToArray(), v => (double)v),
        "double" => tensor.AsSpan<double>().ToArray(),
        "float16" => Array.ConvertAll(tensor.AsSpan<Half>().ToArray(), v => (double)v),
        "int64" => Array.ConvertAll(tensor.AsSpan<long>().ToArray(), v => (double)v),
        "int32" => Array.ConvertAll(tensor.AsSpan<int>().ToArray(), v => (double)v),
        _ => Array.ConvertAll(tensor.Bytes.ToArray(), v => (double)v),
    };
}

internal static class TestNodes
{
    public static NodeProto Node(string op, string[] inputs, params string[] outputs) => Nodes.Create(op, op.ToLowerInvariant(), inputs, outputs);

    public static NodeProto Text(this NodeProto node, string name, string value)
    {
        node.Attribute.Add(new AttributeProto { Name = name, Type = AttributeType.String, S = ByteString.CopyFromUtf8(value) });
        return node;
    }

    public static NodeProto Floats(this NodeProto node, string name, params float[] values)
    {
        var attribute = new AttributeProto { Name = name, Type = AttributeType.Floats };
        attribute.Floats.Add(values);
        node.Attribute.Add(attribute);
        return node;
    }

    public static NodeProto Ints(this NodeProto node, string name, params long[] values) => node.With(name, values.AsSpan());

    public static NodeProto Body(this NodeProto node, string name, GraphProto body)
    {
        node.Attribute.Add(new AttributeProto { Name = name, Type = AttributeType.Graph, G = body });
        return node;
    }
}
