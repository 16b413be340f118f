using QuantSdk.Engines;
using QuantSdk.Onnx;
using QuantSdk.Rewriting;

namespace QuantSdk.Caching;

/// <summary>Types and shapes of tensors with every dynamic dimension at one size: seen by running the model, or inferred where running it would take long.</summary>
internal static class SeenShapes
{
    /// <summary>Bytes of weights up to which a model is run for its shapes.</summary>
    private const long LargestRun = 256 << 20;

    /// <param name="sizes">Sizes of the first dynamic dimension; others are multiples.</param>
    /// <param name="largestRun">Bytes of weights up to which the model is run.</param>
    /// <returns>For each size the tensors of which something is known, without data, and those of the inputs; null where the model does not run and nothing can be inferred.</returns>
    public static IReadOnlyList<IReadOnlyDictionary<string, TensorProto>>? Of(ModelProto model, IReadOnlyList<string> tensors, IReadOnlyList<long> sizes, long largestRun = LargestRun)
    {
        var view = new GraphView(model.Graph);
        if (view.Inputs.Any(i => i.Type?.TensorType?.Shape is null || i.Type.TensorType.ElemType == (int)TensorProto.Types.DataType.String))
            return null;
        string[] wanted = [.. tensors.Where(t => view.Producer(t) is not null).Distinct(StringComparer.Ordinal)];
        var feeds = sizes.Select(s => ShapeFolding.Feeds(view.Inputs, s)).ToArray();
        IReadOnlyList<IReadOnlyList<TensorProto>>? seen;
        if (model.Graph.Initializer.Sum(t => (long)t.RawData.Length) > largestRun)
        {
            seen = [.. feeds.Select(f => Inferred(model, f, wanted))];
        }
        else
        {
            var probes = new ModelProto(model);
            probes.Graph.Output.Add(wanted.Where(t => !view.IsOutput(t)).Select(t => new ValueInfoProto { Name = t }));
            seen = OrtEvaluator.TryRun(probes, feeds, wanted, keepDataOf: new HashSet<string>());
        }
        return seen is null ? null : [.. seen.Zip(feeds, (s, f) => s.Concat(f).ToDictionary(t => t.Name, StringComparer.Ordinal))];
    }

    private static IReadOnlyList<TensorProto> Inferred(ModelProto model, TensorProto[] feed, string[] wanted)
    {
        var sized = new ModelProto(model);
        var dims = feed.ToDictionary(t => t.Name, t => t.Dims, StringComparer.Ordinal);
        foreach (var input in sized.Graph.Input.Where(i => dims.ContainsKey(i.Name)))
        {
            input.Type.TensorType.Shape = new TensorShapeProto();
            input.Type.TensorType.Shape.Dim.Add(dims[input.Name].Select(d => new TensorShapeProto.Types.Dimension { DimValue = d }));
        }
        // What the file says of tensors in between names the dimensions that are now fixed.
        sized.Graph.ValueInfo.Clear();
        foreach (var output in sized.Graph.Output)
            output.Type = null;
        var types = TypeInference.Infer(sized);
        var found = new List<TensorProto>();
        foreach (var name in wanted)
        {
            if (types.GetValueOrDefault(name) is not { Shape: { } shape } type || shape.Dim.Any(d => !d.HasDimValue))
                continue;
            var tensor = new TensorProto { Name = name, DataType = type.ElemType };
            tensor.Dims.Add(shape.Dim.Select(d => d.DimValue));
            found.Add(tensor);
        }
        return found;
    }
}
