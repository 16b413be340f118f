using QuantSdk.Calibration;
using QuantSdk.Onnx;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Caching;

/// <summary>
/// A marked model that can go on with cached tensors, in one graph: calibration then sees the samples, and in the live part the values, that
/// a cached sampler makes. Everything is computed at every step, so that all that is observed is there.
/// </summary>
internal static class CachedLoop
{
    /// <summary>The model with the inputs; null where a cached tensor has a dynamic dimension besides the batch.</summary>
    public static OnnxModel? Of(CachedModel cached)
    {
        var proto = cached.Model.Proto.Clone();
        var graph = proto.Graph;
        var types = graph.Output.TakeLast(cached.Tensors.Count).ToDictionary(o => o.Name, o => o.Type, StringComparer.Ordinal);
        if (types.Values.Any(t => t.TensorType.ElemType != (int)DataType.Float || t.TensorType.Shape is not { Dim.Count: > 0 } shape || shape.Dim.Skip(1).Any(d => !d.HasDimValue)))
            return null;
        graph.Input.Add(new ValueInfoProto { Name = CarriedTensors.Flag, Type = new TypeProto { TensorType = new TypeProto.Types.Tensor { ElemType = (int)DataType.Bool, Shape = new TensorShapeProto { Dim = { new TensorShapeProto.Types.Dimension { DimValue = 1 } } } } } });
        graph.Input.Add(cached.Tensors.Select(t => new ValueInfoProto { Name = t.Name + CarriedTensors.Before, Type = types[t.Name].Clone() }));
        var gates = cached.Tensors.ToDictionary(t => t.Gate, StringComparer.Ordinal);
        var nodes = new List<NodeProto>();
        foreach (var node in graph.Node)
        {
            if (!node.Is("Identity") || !gates.TryGetValue(node.Output[0], out var tensor))
            {
                nodes.Add(node);
                continue;
            }
            var before = tensor.Name + CarriedTensors.Before;
            if (tensor.Base is not null)
                nodes.Add(Nodes.Create("Add", before + "_sum", [tensor.Base, before], [before = before + "_sum"]));
            nodes.Add(Nodes.Create("Where", node.Name, [CarriedTensors.Flag, before, tensor.Source], [tensor.Gate]));
        }
        graph.Node.Clear();
        graph.Node.Add(nodes);
        return cached.Model with { Proto = proto };
    }
}
