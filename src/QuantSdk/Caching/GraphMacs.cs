using QuantSdk.Engines;
using QuantSdk.Onnx;
using QuantSdk.Rewriting;

namespace QuantSdk.Caching;

/// <summary>Multiply-adds of each product of a graph: convolutions, linear layers, attention; by the sizes they have when the model runs.</summary>
internal sealed class GraphMacs
{
    private readonly Dictionary<NodeProto, long> _macs;

    private GraphMacs(Dictionary<NodeProto, long> macs) => _macs = macs;

    public long this[NodeProto node] => _macs.GetValueOrDefault(node);

    public long Total => _macs.Values.Sum();

    /// <summary>Of the nodes given.</summary>
    public long Of(IEnumerable<NodeProto> nodes) => nodes.Sum(n => this[n]);

    /// <summary>Counted for two rows at a time; a product whose size cannot be seen counts its weight once.</summary>
    public static GraphMacs Count(ModelProto model)
    {
        var view = new GraphView(model.Graph);
        var products = model.Graph.Node.Where(n => n.Is("Conv") || n.Is("ConvTranspose") || n.Is("Gemm") || n.Is("MatMul")).ToArray();
        var wanted = products.SelectMany(n => (string[])[n.Input[0], n.Output[0]]).Where(t => view.Producer(t) is not null).Distinct(StringComparer.Ordinal).ToArray();
        var dims = new Dictionary<string, IReadOnlyList<long>>(StringComparer.Ordinal);
        if (view.Inputs.All(i => i.Type?.TensorType?.Shape is not null && i.Type.TensorType.ElemType != (int)TensorProto.Types.DataType.String))
        {
            var probes = new ModelProto(model);
            probes.Graph.Output.Add(wanted.Where(t => !view.IsOutput(t)).Select(t => new ValueInfoProto { Name = t }));
            var feed = ShapeFolding.Feeds(view.Inputs, 2);
            foreach (var tensor in feed.Concat(OrtEvaluator.TryRun(probes, [feed], wanted, keepDataOf: new HashSet<string>())?[0] ?? []))
                dims[tensor.Name] = tensor.Dims;
        }
        var macs = new Dictionary<NodeProto, long>(ReferenceEqualityComparer.Instance);
        foreach (var node in products)
            macs[node] = Macs(node, view.Initializer(node.Input[1]), dims.GetValueOrDefault(node.Input[0]), dims.GetValueOrDefault(node.Output[0]));
        return new GraphMacs(macs);
    }

    /// <summary>Each output of a convolution or product is a sum over the reduction; each input of a transposed convolution is spread over the taps.</summary>
    private static long Macs(NodeProto node, TensorProto? weight, IReadOnlyList<long>? input, IReadOnlyList<long>? output) => node.OpType switch
    {
        _ when input is null || output is null => weight?.Count() ?? 0,
        "Conv" when weight is not null => Count(output) * (weight.Count() / weight.Dims[0]),
        "ConvTranspose" when weight is not null => Count(input) * (weight.Count() / weight.Dims[0]),
        "Gemm" => Count(output) * input[node.Int("transA", 0) != 0 ? 0 : 1],
        "MatMul" => Count(output) * input[^1],
        _ => 0,
    };

    private static long Count(IReadOnlyList<long> dims) => dims.Aggregate(1L, (a, b) => a * b);
}
