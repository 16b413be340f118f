using QuantSdk.Onnx;
using QuantSdk.Runtime;

namespace QuantSdk.Bench;

/// <summary>Writes a graph node by node in the forms PyTorch's exporter uses, with Gaussian weights of variance 1/fan-in.</summary>
internal sealed class GraphWriter
{
    private const long Opset = 17;
    private const int Groups = 32;

    private readonly GraphProto _graph = new() { Name = "bench" };
    private readonly HashSet<string> _constants = new(StringComparer.Ordinal);
    private long _seed = 1;

    /// <summary>Adds a float input; −1 is the batch.</summary>
    public string Input(string name, params ReadOnlySpan<long> shape)
    {
        _graph.Input.Add(Value(name, shape));
        return name;
    }

    public void Output(string tensor, params ReadOnlySpan<long> shape) => _graph.Output.Add(Value(tensor, shape));

    public void Save(string path)
    {
        var model = new ModelProto { IrVersion = 8, Graph = _graph, ProducerName = "QuantSdk.Bench" };
        model.OpsetImport.Add(new OperatorSetIdProto { Domain = "", Version = Opset });
        // One file, as most exporters write it.
        OnnxFile.Save(model, path, path + ".data", int.MaxValue);
        File.Delete(path + ".data");
    }

    public string Node(string op, string name, params IEnumerable<string> inputs) => Node(Nodes.Create(op, name, inputs, [name + "_out"]));

    public string Node(NodeProto node)
    {
        _graph.Node.Add(node);
        return node.Output[0];
    }

    public string Add(string name, string a, string b) => Node("Add", name, a, b);

    public string Conv(string name, string x, int inputs, int outputs, int kernel) => Node(
        Nodes.Create("Conv", name, [x, Weights(name + ".weight", inputs * kernel * kernel, outputs, inputs, kernel, kernel), Bias(name + ".bias", outputs)], [name + "_out"])
            .With("kernel_shape", kernel, kernel).With("pads", kernel / 2, kernel / 2, kernel / 2, kernel / 2).With("strides", 1, 1).With("dilations", 1, 1).With("group", 1L));

    /// <summary>A 1×1 convolution that scales and shifts each channel.</summary>
    public string Depthwise(string name, string x, int channels) => Node(
        Nodes.Create("Conv", name, [x, Initializer(name + ".weight", Near1(channels), channels, 1, 1, 1), Bias(name + ".bias", channels)], [name + "_out"])
            .With("kernel_shape", 1, 1).With("pads", 0, 0, 0, 0).With("strides", 1, 1).With("dilations", 1, 1).With("group", (long)channels));

    public string Linear(string name, string x, int inputs, int outputs, bool bias)
    {
        var product = Node("MatMul", name + "/MatMul", x, Weights(name + ".weight", inputs, inputs, outputs));
        return bias ? Add(name + "/Add", Bias(name + ".bias", outputs), product) : product;
    }

    /// <summary>GroupNorm as the exporter writes it: InstanceNormalization over groups, then scale and shift.</summary>
    public string GroupNorm(string name, string x, int channels, int size)
    {
        var groups = Reshape(name + "/Reshape", x, 0, Groups, -1);
        var ones = Constant($"ones_{Groups}", n => Tensors.Vector(n, Filled(Groups, 1)));
        var zeros = Constant($"zeros_{Groups}", n => Tensors.Vector(n, new float[Groups]));
        var normal = Node(Nodes.Create("InstanceNormalization", name + "/Norm", [groups, ones, zeros], [name + "_norm"]).With("epsilon", 1e-5f));
        var image = Reshape(name + "/Reshape_1", normal, 0, channels, size, size);
        var scaled = Node("Mul", name + "/Mul", image, Initializer(name + ".weight", Near1(channels), channels, 1, 1));
        return Add(name + "/Add", scaled, Initializer(name + ".bias", Small(channels), channels, 1, 1));
    }

    public string LayerNorm(string name, string x, int width) => Node(
        Nodes.Create("LayerNormalization", name, [x, Initializer(name + ".weight", Near1(width), width), Initializer(name + ".bias", Small(width), width)], [name + "_out"])
            .With("axis", -1L).With("epsilon", 1e-5f));

    public string SiLU(string name, string x) => Node("Mul", name + "/Mul", x, Node("Sigmoid", name + "/Sigmoid", x));

    /// <summary>x·Φ(x) through erf.</summary>
    public string Gelu(string name, string x)
    {
        var erf = Node("Erf", name + "/Erf", Node("Div", name + "/Div", x, Scalar(MathF.Sqrt(2))));
        return Node("Mul", name + "/Mul_1", Node("Mul", name + "/Mul", x, Node("Add", name + "/Add", erf, Scalar(1))), Scalar(0.5f));
    }

    public string Reshape(string name, string x, params long[] shape) => Node("Reshape", name, x, Constant("shape_" + string.Join('_', shape), n => Tensors.Vector(n, shape)));

    public string Transpose(string name, string x, params ReadOnlySpan<long> order) => Node(Nodes.Create("Transpose", name, [x], [name + "_out"]).With("perm", order));

    public string Scalar(float value) => Constant($"scalar_{value:R}", n => Tensors.Scalar(n, value));

    /// <summary>Halves of the last axis.</summary>
    public (string First, string Second) Chunk(string name, string x)
    {
        var node = Nodes.Create("Split", name, [x], [name + "_0", name + "_1"]).With("axis", -1L);
        _graph.Node.Add(node);
        return (node.Output[0], node.Output[1]);
    }

    private string Weights(string name, int fanIn, params ReadOnlySpan<long> dims)
    {
        long count = 1;
        foreach (var dim in dims)
            count *= dim;
        var values = Normal((int)count);
        var scale = 1 / MathF.Sqrt(fanIn);
        System.Numerics.Tensors.TensorPrimitives.Multiply(values, scale, values);
        return Initializer(name, values, dims);
    }

    private string Bias(string name, int channels) => Initializer(name, Small(channels), channels);

    private string Initializer(string name, float[] values, params ReadOnlySpan<long> dims)
    {
        _graph.Initializer.Add(Tensors.Create(name, values, dims));
        return name;
    }

    private string Constant(string name, Func<string, TensorProto> make)
    {
        if (_constants.Add(name))
            _graph.Initializer.Add(make(name));
        return name;
    }

    private float[] Near1(int count) => Array.ConvertAll(Normal(count), x => 1 + 0.1f * x);

    private float[] Small(int count) => Array.ConvertAll(Normal(count), x => 0.1f * x);

    private float[] Normal(int count)
    {
        var values = new float[count];
        TorchRandom.Normal(_seed++, values);
        return values;
    }

    private static float[] Filled(int count, float value)
    {
        var values = new float[count];
        Array.Fill(values, value);
        return values;
    }

    private static ValueInfoProto Value(string name, ReadOnlySpan<long> shape)
    {
        var dims = new TensorShapeProto();
        foreach (var dim in shape)
            dims.Dim.Add(dim < 0 ? new TensorShapeProto.Types.Dimension { DimParam = "batch" } : new TensorShapeProto.Types.Dimension { DimValue = dim });
        return new ValueInfoProto { Name = name, Type = new TypeProto { TensorType = new TypeProto.Types.Tensor { ElemType = (int)TensorProto.Types.DataType.Float, Shape = dims } } };
    }
}
