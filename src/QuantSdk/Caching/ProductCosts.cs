using QuantSdk.Onnx;
using QuantSdk.Planning;

namespace QuantSdk.Caching;

/// <summary>What each product of a graph costs: convolutions, linear layers, attention; by the sizes that they have when the model runs.</summary>
internal sealed class ProductCosts
{
    private readonly Dictionary<NodeProto, (long Macs, WorkShape? Work)> _products;

    private ProductCosts(Dictionary<NodeProto, (long, WorkShape?)> products) => _products = products;

    /// <summary>Multiply-adds of some nodes as a share of the whole graph's; 1 where it has none.</summary>
    public double MacShare(IReadOnlySet<NodeProto> nodes) => Share(nodes, n => _products[n].Macs);

    /// <summary>Predicted time of some nodes as a share of the whole graph's, by a table of measured kernels; by multiply-adds where there is none.</summary>
    /// <param name="int8">Layers with constant weights run in int8.</param>
    public double TimeShare(IReadOnlySet<NodeProto> nodes, CostTable? table, bool int8) =>
        table is null || _products.Values.Any(p => p.Work is null) ? MacShare(nodes) : Share(nodes, n => table.Microseconds(CostKernels.Of(_products[n].Work!, int8), _products[n].Work!));

    /// <summary>Counted for two rows at a time; a product whose size cannot be seen counts its weight once.</summary>
    public static ProductCosts Of(ModelProto model)
    {
        var view = new GraphView(model.Graph);
        var products = model.Graph.Node.Where(n => n.Is("Conv") || n.Is("ConvTranspose") || n.Is("Gemm") || n.Is("MatMul")).ToArray();
        var seen = SeenShapes.Of(model, [.. products.SelectMany(n => (string[])[n.Input[0], n.Output[0]])], [2])?[0];
        var costs = new Dictionary<NodeProto, (long, WorkShape?)>(ReferenceEqualityComparer.Instance);
        foreach (var node in products)
        {
            var weight = view.Initializer(node.Input[1]);
            costs[node] = seen?.GetValueOrDefault(node.Input[0]) is { } input && seen.GetValueOrDefault(node.Output[0]) is { } output ? Cost(node, weight, input.Dims, output.Dims) : (weight?.Count() ?? 0, null);
        }
        return new ProductCosts(costs);
    }

    private double Share(IReadOnlySet<NodeProto> nodes, Func<NodeProto, double> cost)
    {
        var all = _products.Keys.Sum(cost);
        return all > 0 ? _products.Keys.Where(nodes.Contains).Sum(cost) / all : 1;
    }

    /// <summary>Each output of a convolution or product is a sum over the reduction; each input of a transposed convolution is spread over the taps.</summary>
    private static (long, WorkShape?) Cost(NodeProto node, TensorProto? weight, IReadOnlyList<long> input, IReadOnlyList<long> output)
    {
        var (read, written) = (Count(input), Count(output));
        switch (node.OpType)
        {
            case "Conv" when weight is not null:
                var groups = node.Int("group", 1);
                return (written * (weight.Count() / weight.Dims[0]),
                    WorkShape.OfConvolution(Math.Max(1, written / weight.Dims[0]), weight.Dims[1] * groups, weight.Dims[0], weight.Dims.Skip(2).Aggregate(1L, (a, d) => a * d), groups));
            case "ConvTranspose" when weight is not null:
                return (read * (weight.Count() / weight.Dims[0]), null);
            case "Gemm" or "MatMul" when input.Count > 0 && output.Count > 0:
                var inputs = Math.Max(1, input[node.OpType == "Gemm" && node.Int("transA", 0) != 0 ? 0 : input.Count - 1]);
                return (written * inputs, new WorkShape(WorkShape.Linear, Math.Max(1, read / inputs), inputs, Math.Max(1, output[^1]), Bias: node.Input.Count > 2));
            default:
                return (0, null);
        }
    }

    private static long Count(IReadOnlyList<long> dims) => dims.Aggregate(1L, (a, b) => a * b);
}
