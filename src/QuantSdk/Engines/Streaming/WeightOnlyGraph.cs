using QuantSdk.Numerics;
using QuantSdk.Onnx;
using QuantSdk.Planning;
using QuantSdk.Rewriting;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Engines.Streaming;

/// <summary>A weight and the tensors that take its place, empty as yet.</summary>
internal sealed record LoweredWeight(StreamedWeight Weight, TensorProto Codes, TensorProto Scales, TensorProto? ZeroPoints);

/// <summary>
/// The graph of a weight-only plan: DequantizeLinear of integer codes in front of every product. ONNX Runtime's CPU fuses it into
/// MatMulNBits where the matrix lies [K, N] and has one scale a column or a power of two of at least 16 rows; what lies [N, K], Gemm with transB or
/// a Transpose, is stored the other way round. A convolution's weight is dequantised at every run.
/// </summary>
internal sealed record WeightOnlyGraph(ModelProto Model, IReadOnlyList<LoweredWeight> Weights)
{
    /// <param name="model">The model that <paramref name="view"/> shows.</param>
    /// <param name="searchClip">Clips each block's range where that lowers its squared error.</param>
    public static WeightOnlyGraph Lower(OnnxModel model, WeightView view, Plan plan, string target, bool searchClip)
    {
        var proto = model.Proto.Clone();
        var nodes = proto.Graph.Node.ToDictionary(n => n.Label(), StringComparer.Ordinal);
        var initializers = proto.Graph.Initializer.ToDictionary(t => t.Name, StringComparer.Ordinal);
        var lowered = new Dictionary<(TensorProto, bool, int, IntFormat), LoweredWeight>();
        var dequantizers = new List<NodeProto>();
        foreach (var layer in plan.Layers)
        {
            var node = nodes[layer.Node];
            var resolved = view.Resolve(layer.Weight.Tensor)!;
            var format = WeightOnlyPlanner.FormatOf(layer.Weight) with { NegativeScales = target == "cpu", SearchClip = searchClip, Scales = resolved.Scales };
            var linear = layer.Op is "MatMul" or "Gemm";
            // The other way round twice is as it lies.
            var transposed = linear && resolved.Transposed != (node.Is("Gemm") && node.Int("transB", 0) != 0);
            var axis = linear ? transposed ? 0 : 1 : layer.Weight.Axis;
            var key = (resolved.Source, transposed, axis, format);
            if (!lowered.TryGetValue(key, out var weight))
            {
                var twin = lowered.Keys.Count(k => ReferenceEquals(k.Item1, resolved.Source)) is var n and > 0 ? $"_{n}" : "";
                weight = Create(new StreamedWeight(resolved.Source.Name + twin, initializers[resolved.Source.Name], transposed, axis, format));
                lowered[key] = weight;
                dequantizers.Add(Dequantize(weight));
            }
            node.Input[1] = weight.Weight.Name + "_dq";
            if (node.Attribute("transB") is { } order)
                node.Attribute.Remove(order);
        }
        var rest = proto.Graph.Node.ToArray();
        proto.Graph.Node.Clear();
        proto.Graph.Node.Add(dequantizers);
        proto.Graph.Node.Add(rest);
        foreach (var node in rest)
            node.MetadataProps.Clear();
        foreach (var weight in lowered.Values)
            proto.Graph.Initializer.Add(((TensorProto?[])[weight.Codes, weight.Scales, weight.ZeroPoints]).OfType<TensorProto>());
        proto.ProducerName = "QuantSdk";
        DeadCode.Remove(proto.Graph);
        if (target == "cpu")
            TiedProducts.Fuse(proto);
        return new WeightOnlyGraph(proto, [.. lowered.Values]);
    }

    private static LoweredWeight Create(StreamedWeight weight)
    {
        var geometry = weight.Geometry;
        return new LoweredWeight(
            weight, Empty("_q", weight.CodeType, weight.Dims), Empty("_scale", weight.ScaleType, geometry.ScaleDims),
            weight.Format.ZeroPoint ? Empty("_zp", weight.CodeType, geometry.ScaleDims) : null);

        TensorProto Empty(string suffix, DataType type, long[] dims)
        {
            var tensor = new TensorProto { Name = weight.Name + suffix, DataType = (int)type };
            tensor.Dims.Add(dims);
            return tensor;
        }
    }

    private static NodeProto Dequantize(LoweredWeight weight)
    {
        var geometry = weight.Weight.Geometry;
        string[] inputs = weight.ZeroPoints is null ? [weight.Codes.Name, weight.Scales.Name] : [weight.Codes.Name, weight.Scales.Name, weight.ZeroPoints.Name];
        var node = Nodes.Create("DequantizeLinear", weight.Weight.Name + "_dq", inputs, [weight.Weight.Name + "_dq"]).With("axis", (long)geometry.Axis);
        return geometry.BlockSize > 0 ? node.With("block_size", (long)geometry.BlockSize) : node;
    }
}
