using QuantSdk.Engines;
using QuantSdk.Onnx;

namespace QuantSdk.Rewriting;

/// <summary>
/// The shapes that tensors of a float graph take at two sizes of every dynamic dimension, seen by running it: what two dimensions
/// have in common there, they have in common everywhere.
/// </summary>
internal sealed class ProbedShapes
{
    private static readonly long[] Sizes = [2, 3];

    private readonly Dictionary<string, long[][]> _shapes;

    private ProbedShapes(Dictionary<string, long[][]> shapes, bool onlyBatchVaries) => (_shapes, OnlyBatchVaries) = (shapes, onlyBatchVaries);

    /// <summary>
    /// True where no input has a dynamic dimension but its first: every other dimension that is the same in the probes is then the same always. A slice of
    /// a sequence that was long enough in both need not be.
    /// </summary>
    public bool OnlyBatchVaries { get; }

    /// <summary>Shapes of <paramref name="tensors"/> that hold floats; null where the model does not run at other sizes.</summary>
    public static ProbedShapes? Of(ModelProto model, IReadOnlyCollection<string> tensors)
    {
        var view = new GraphView(model.Graph);
        if (view.Inputs.Any(i => i.Type?.TensorType?.Shape is null || i.Type.TensorType.ElemType == (int)TensorProto.Types.DataType.String))
            return null;
        var observed = tensors.Where(t => view.Producer(t) is not null).Distinct(StringComparer.Ordinal).ToArray();
        var probes = new ModelProto(model);
        probes.Graph.Output.Add(observed.Where(t => !view.IsOutput(t)).Select(t => new ValueInfoProto { Name = t }));
        var feeds = Sizes.Select(s => ShapeFolding.Feeds(view.Inputs, s)).ToArray();
        if (OrtEvaluator.TryRun(probes, feeds, observed, keepDataOf: new HashSet<string>()) is not { } runs)
            return null;
        var shapes = new Dictionary<string, long[][]>(StringComparer.Ordinal);
        foreach (var values in runs.Zip(feeds, (run, feed) => run.Concat(feed)).SelectMany(values => values).GroupBy(t => t.Name, StringComparer.Ordinal))
        {
            if (values.All(t => t.DataType == (int)TensorProto.Types.DataType.Float))
                shapes[values.Key] = [.. values.Select(t => t.Dims.ToArray())];
        }
        return new ProbedShapes(shapes, view.Inputs.All(i => i.Type.TensorType.Shape.Dim.Skip(1).All(d => d.HasDimValue && d.DimValue > 0)));
    }

    /// <summary>The shape at each size, or null for a tensor that is not a float one.</summary>
    public long[][]? this[string tensor] => _shapes.GetValueOrDefault(tensor);

    /// <summary>True where the tensor has the dimensions that <paramref name="expected"/> gives for each probe.</summary>
    public bool Is(string tensor, Func<int, long[]> expected) => this[tensor] is { } shapes && Enumerable.Range(0, shapes.Length).All(i => shapes[i].AsSpan().SequenceEqual(expected(i)));
}
