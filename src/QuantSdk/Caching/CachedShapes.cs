using QuantSdk.Engines;
using QuantSdk.Onnx;
using QuantSdk.Rewriting;

namespace QuantSdk.Caching;

/// <summary>
/// Type and shape of tensors, as seen by running the model at two sizes of every dynamic dimension: what is the same in both is fixed; what
/// equals a dimension of an input in both bears its name; another dimension is dynamic without one.
/// </summary>
internal static class CachedShapes
{
    private static readonly long[] s_sizes = [2, 3];

    public static IReadOnlyDictionary<string, TypeProto.Types.Tensor> Of(OnnxModel model, IReadOnlyList<string> tensors)
    {
        var view = new GraphView(model.Graph);
        var observed = Observe(model.Proto, view, tensors);
        var inferred = observed is null ? TypeInference.Infer(model.Proto) : null;
        return tensors.Distinct(StringComparer.Ordinal).ToDictionary(t => t, t => observed?[t] ?? WithBatch(inferred!.GetValueOrDefault(t), view), StringComparer.Ordinal);
    }

    private static Dictionary<string, TypeProto.Types.Tensor>? Observe(ModelProto model, GraphView view, IReadOnlyList<string> tensors)
    {
        if (view.Inputs.Any(i => i.Type?.TensorType?.Shape is null || i.Type.TensorType.ElemType == (int)TensorProto.Types.DataType.String))
            return null;
        var probes = new ModelProto(model);
        probes.Graph.Output.Add(tensors.Where(t => !view.IsOutput(t)).Distinct(StringComparer.Ordinal).Select(t => new ValueInfoProto { Name = t }));
        var feeds = s_sizes.Select(s => ShapeFolding.Feeds(view.Inputs, s)).ToArray();
        if (OrtEvaluator.TryRun(probes, feeds, tensors, keepDataOf: new HashSet<string>()) is not { } runs)
            return null;
        // Sizes that a name has in each run; where two names have the same ones, the first, which is the batch.
        var symbols = new List<(string Name, long[] Sizes)>();
        foreach (var (input, i) in view.Inputs.Select((input, i) => (input, i)))
        {
            var dims = input.Type.TensorType.Shape.Dim;
            for (var axis = 0; axis < dims.Count; axis++)
            {
                if (dims[axis].DimParam.Length > 0)
                    symbols.Add((dims[axis].DimParam, [.. feeds.Select(f => f[i].Dims[axis])]));
            }
        }
        var types = new Dictionary<string, TypeProto.Types.Tensor>(StringComparer.Ordinal);
        for (var t = 0; t < tensors.Count; t++)
        {
            var seen = runs.Select(r => r[t]).ToArray();
            if (seen.Any(s => s.Dims.Count != seen[0].Dims.Count))
                return null;
            types[tensors[t]] = new TypeProto.Types.Tensor { ElemType = seen[0].DataType, Shape = new TensorShapeProto { Dim = { Enumerable.Range(0, seen[0].Dims.Count).Select(axis => Dimension([.. seen.Select(s => s.Dims[axis])])) } } };
        }
        return types;

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
