using QuantSdk.Engines;
using QuantSdk.Onnx;

namespace QuantSdk.Caching;

/// <summary>
/// Type and shape of tensors, as seen at two sizes of every dynamic dimension: what is the same in both is fixed; what equals a
/// dimension of an input in both bears its name; another dimension is dynamic without one.
/// </summary>
internal static class CachedShapes
{
    public static IReadOnlyDictionary<string, TypeProto.Types.Tensor> Of(OnnxModel model, IReadOnlyList<string> tensors)
    {
        var view = new GraphView(model.Graph);
        string[] distinct = [.. tensors.Distinct(StringComparer.Ordinal)];
        var seen = SeenShapes.Of(model.Proto, distinct, [2, 3]);
        // Sizes that a name has in each run; where two names have the same ones, the first, which is the batch.
        var symbols = seen is null ? [] : view.Inputs.SelectMany(i => i.Type.TensorType.Shape.Dim.Select((d, axis) => (Name: d.DimParam, Sizes: seen.Select(s => s[i.Name].Dims[axis]).ToArray()))).Where(s => s.Name.Length > 0).ToArray();
        IReadOnlyDictionary<string, TypeProto.Types.Tensor>? inferred = null;
        return distinct.ToDictionary(t => t, t => Seen(t) ?? WithBatch((inferred ??= TypeInference.Infer(model.Proto)).GetValueOrDefault(t), view), StringComparer.Ordinal);

        TypeProto.Types.Tensor? Seen(string tensor)
        {
            if (seen is null || seen.Any(s => !s.ContainsKey(tensor)))
                return null;
            var runs = seen.Select(s => s[tensor]).ToArray();
            if (runs.Any(r => r.Dims.Count != runs[0].Dims.Count))
                return null;
            var shape = new TensorShapeProto();
            shape.Dim.Add(Enumerable.Range(0, runs[0].Dims.Count).Select(axis => Dimension([.. runs.Select(r => r.Dims[axis])])));
            return new TypeProto.Types.Tensor { ElemType = runs[0].DataType, Shape = shape };
        }

        TensorShapeProto.Types.Dimension Dimension(long[] sizes) =>
            sizes.Distinct().Count() == 1 ? new() { DimValue = sizes[0] }
            : symbols.FirstOrDefault(s => s.Sizes.AsSpan().SequenceEqual(sizes)).Name is { } name ? new() { DimParam = name }
            : new();
    }

    /// <summary>What is inferred says which dimensions are dynamic, not what they are called; the first is taken for the batch.</summary>
    private static TypeProto.Types.Tensor WithBatch(TypeProto.Types.Tensor? inferred, GraphView view)
    {
        var type = inferred?.Clone() ?? new TypeProto.Types.Tensor { ElemType = (int)TensorProto.Types.DataType.Float };
        var batch = view.Inputs.Select(i => i.Type?.TensorType?.Shape?.Dim.FirstOrDefault()?.DimParam).FirstOrDefault(d => !string.IsNullOrEmpty(d));
        if (batch is not null && type.Shape?.Dim.FirstOrDefault() is { HasDimValue: false } first)
            first.DimParam = batch;
        return type;
    }
}
