using System.Globalization;
using QuantSdk.Onnx;
using QuantSdk.Rewriting;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Engines.TensorRt.Rules;

/// <summary>A graph as the rules look at it: who makes what, constants with their values, types, ranks as far as they are stated.</summary>
internal sealed class CheckedGraph
{
    private readonly CheckedGraph? _outer;
    private readonly IReadOnlyDictionary<string, int> _types;
    private readonly Dictionary<string, IReadOnlyList<long>> _shapes = new(StringComparer.Ordinal);

    public CheckedGraph(ModelProto model, GraphProto graph, IReadOnlyDictionary<string, int> types, CheckedGraph? outer)
    {
        (Model, View, _types, _outer) = (model, new GraphView(graph), types, outer);
        foreach (var value in graph.Input.Concat(graph.Output).Concat(graph.ValueInfo))
        {
            if (value.Type?.TensorType?.Shape is { } shape)
                _shapes[value.Name] = [.. shape.Dim.Select(d => d.HasDimValue ? d.DimValue : -1)];
        }
        foreach (var tensor in graph.Initializer)
            _shapes[tensor.Name] = [.. tensor.Dims];
    }

    public ModelProto Model { get; }

    public GraphView View { get; }

    public IEnumerable<NodeProto> Nodes => View.Graph.Node;

    public IEnumerable<NodeProto> Quantisers => Nodes.Where(n => n.Is("QuantizeLinear"));

    public IEnumerable<NodeProto> Dequantisers => Nodes.Where(n => n.Is("DequantizeLinear"));

    public IEnumerable<NodeProto> Pairs => Nodes.Where(n => n.Is("QuantizeLinear") || n.Is("DequantizeLinear"));

    public long Opset => Model.OpsetImport.FirstOrDefault(o => o.Domain is "" or "ai.onnx")?.Version ?? 1;

    public DataType TypeOf(string tensor) => (DataType)_types.GetValueOrDefault(tensor);

    public string TypeName(string tensor) => TypeOf(tensor) == 0 ? "of an unknown type" : ElementType.Name((int)TypeOf(tensor));

    /// <summary>Dimensions, −1 where dynamic; null where nothing is stated.</summary>
    public IReadOnlyList<long>? Shape(string tensor) => _shapes.TryGetValue(tensor, out var shape) ? shape : _outer?.Shape(tensor);

    /// <summary>The tensor where it is known when the engine is built: an initializer or Constant, also behind Casts, whose values are then those before them.</summary>
    public TensorProto? Constant(string tensor) =>
        View.Initializer(tensor) ?? View.Producer(tensor) switch
        {
            { OpType: "Constant" } node => node.Attribute("value")?.T,
            { OpType: "Cast" } node => Constant(node.Input[0]),
            null => _outer?.Constant(tensor),
            _ => null,
        };

    /// <summary>The DequantizeLinear that makes a tensor, also behind what only moves its values or widens them.</summary>
    public NodeProto? Dequantiser(string tensor) => View.Producer(tensor) switch
    {
        { OpType: "DequantizeLinear" or "TRT_MXFP8DequantizeLinear" } node => node,
        { OpType: "Transpose" or "Cast" or "Reshape" } node => Dequantiser(node.Input[0]),
        _ => null,
    };

    /// <summary>True for codes that are stored, false for those that are made as the engine runs.</summary>
    public bool IsStored(NodeProto dequantiser) => Constant(dequantiser.Input[0]) is not null;

    public static bool IsWeighted(NodeProto node) => node.Is("Conv") || node.Is("ConvTranspose") || node.Is("Gemm") || node.Is("MatMul");

    /// <summary>The type that codes have or get.</summary>
    public DataType Codes(NodeProto node) => node.Is("QuantizeLinear") ? TypeOf(node.Output[0]) : TypeOf(node.Input[0]);

    public static string Number(double value) => value.ToString("G4", CultureInfo.InvariantCulture);

    public static long Elements(IEnumerable<long> dims) => dims.Aggregate(1L, (a, b) => a * b);

    /// <summary>The values of a scale of float type, or null where they are not stored in the model.</summary>
    public float[]? Values(string tensor) => Constant(tensor) is { } constant && ElementType.IsFloat(constant.DataType) && HasData(constant) ? constant.ToFloats() : null;

    /// <summary>Headers of models come without their data.</summary>
    public static bool HasData(TensorProto tensor) => tensor.RawData.Length == ElementType.Bytes(tensor.DataType, tensor.Count()) && tensor.RawData.Length > 0;

    public bool IsHalf(string tensor) => TypeOf(tensor) is DataType.Float16 or DataType.Bfloat16;

    public static bool IsTensorRt(NodeProto node) => node.Domain == TensorRtFormats.Domain;
}
