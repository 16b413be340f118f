using QuantSdk.Onnx;
using QuantSdk.Runtime;

namespace QuantSdk.Serving;

/// <summary>Whether requests to a model may be joined: only where the first dimension of every input and output is one and the same batch.</summary>
internal static class TritonBatch
{
    /// <summary>
    /// Why the first dimension is not the batch, or null. The manifest tells which dimensions are free, the graph whether they are one: they have one name.
    /// </summary>
    public static string? Obstacle(IEnumerable<TensorInfo> tensors, GraphProto graph)
    {
        var values = graph.Input.Concat(graph.Output).GroupBy(v => v.Name, StringComparer.Ordinal).ToDictionary(g => g.Key, g => g.First(), StringComparer.Ordinal);
        var (first, batch) = ("", "");
        foreach (var tensor in tensors)
        {
            if (tensor.Shape.Count == 0)
                return $"'{tensor.Name}' has no dimensions";
            if (tensor.Shape[0] >= 0)
                return $"'{tensor.Name}' always has {tensor.Shape[0]} rows";
            var name = values.GetValueOrDefault(tensor.Name)?.Type.TensorType.Shape?.Dim.FirstOrDefault()?.DimParam ?? "";
            if (name.Length == 0)
                return $"the first dimension of '{tensor.Name}' has no name, so that it may be something else";
            if (batch.Length > 0 && name != batch)
                return $"the first dimension of '{tensor.Name}' is '{name}', that of '{first}' is '{batch}'";
            if (batch.Length == 0)
                (first, batch) = (tensor.Name, name);
        }
        return null;
    }
}
