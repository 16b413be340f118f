using QuantSdk.Onnx;
using QuantSdk.Runtime;

namespace QuantSdk.Engines.TensorRt;

/// <summary>Shapes of the inputs of a live part: cached tensors have the dimensions that the full engine's profiles give their names.</summary>
internal static class LiveShapes
{
    /// <param name="full">The whole graph.</param>
    /// <param name="live">Its live part: the same inputs, and the cached tensors.</param>
    /// <param name="profiles">Of the full engine.</param>
    /// <returns>A range for every dynamic input whose dimensions are known by it; nothing tells those of the others.</returns>
    public static IReadOnlyList<TensorRtProfile> Of(GraphProto full, GraphProto live, IReadOnlyList<TensorRtProfile> profiles)
    {
        var whole = new GraphView(full).Inputs.ToDictionary(i => i.Name, Dims, StringComparer.Ordinal);
        return [.. profiles.Select(profile =>
        {
            var symbols = new Dictionary<string, (long Min, long Opt, long Max)>(StringComparer.Ordinal);
            foreach (var range in profile.Inputs)
            {
                var dims = whole[range.Input];
                for (var axis = 0; axis < dims.Count && axis < range.Min.Count; axis++)
                {
                    if (dims[axis].HasDimParam)
                        symbols.TryAdd(dims[axis].DimParam, (range.Min[axis], range.Opt[axis], range.Max[axis]));
                }
            }
            var cached = new GraphView(live).Inputs.Where(i => !whole.ContainsKey(i.Name)).Select(i => (i.Name, Dims: Dims(i)))
                .Where(i => i.Dims.Any(d => !d.HasDimValue) && i.Dims.All(d => d.HasDimValue || symbols.ContainsKey(d.DimParam)))
                .Select(i => new ShapeRange(i.Name, [.. i.Dims.Select(d => Of(d).Min)], [.. i.Dims.Select(d => Of(d).Opt)], [.. i.Dims.Select(d => Of(d).Max)]));
            return new TensorRtProfile([.. profile.Inputs, .. cached]);

            (long Min, long Opt, long Max) Of(TensorShapeProto.Types.Dimension dim) => dim.HasDimValue ? (dim.DimValue, dim.DimValue, dim.DimValue) : symbols[dim.DimParam];
        })];
    }

    private static IReadOnlyList<TensorShapeProto.Types.Dimension> Dims(ValueInfoProto value) => [.. value.Type?.TensorType?.Shape?.Dim ?? []];
}
