using QuantSdk.Engines;
using QuantSdk.Onnx;

namespace QuantSdk.Rewriting;

/// <summary>
/// Replaces chains of Shape, Gather, Concat, … by constants. Exporters compute every reshape and every attention scale from shapes,
/// although most of those numbers never change. Which ones do is seen by running the model at several sizes of every dynamic
/// dimension; only tensors that provably depend on shapes alone, never on values, are looked at.
/// </summary>
internal static class ShapeFolding
{
    private const int MaxBytes = 64 * 1024;

    /// <summary>
    /// Operators that can give one result for every size tried and another beyond: n / 64 is 0 for all small n. What they make of
    /// something that varies is never folded, even where it stood still.
    /// </summary>
    private static readonly HashSet<string> Thresholds =
    [
        "Div", "Mod", "Min", "Max", "Clip", "Relu", "Sign", "Floor", "Ceil", "Round", "BitShift", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Equal", "ArgMax", "ArgMin", "ReduceMin", "ReduceMax", "TopK", "NonZero",
    ];

    /// <summary>Sizes for the dynamic dimensions, one set a run; distinct and coprime, so that no product or sum of them stands still.</summary>
    private static readonly long[] Sizes = [2, 3, 5];

    /// <returns>False where the model does not run at other sizes; the graph is then unchanged.</returns>
    public static bool Fold(ModelProto model)
    {
        var graph = model.Graph;
        var view = new GraphView(graph);
        // A sequence, a string or an input of unknown rank cannot be fed.
        if (view.Inputs.Any(i => i.Type?.TensorType?.Shape is null || i.Type.TensorType.ElemType == (int)TensorProto.Types.DataType.String))
            return false;
        var (values, shapes) = Dependent(view, view.Inputs.Select(i => i.Name));
        var constants = graph.Initializer.Select(t => t.Name).ToHashSet(StringComparer.Ordinal);
        bool FromShapes(string tensor) => tensor.Length > 0 && !values.Contains(tensor) && !shapes.Contains(tensor) && !constants.Contains(tensor) && view.Producer(tensor) is not null;

        var frontier = new HashSet<string>(StringComparer.Ordinal);
        foreach (var node in graph.Node.Where(n => n.Output.Any(o => !FromShapes(o))))
            frontier.UnionWith(node.Input.Where(FromShapes));
        if (frontier.Count == 0)
            return true;
        var thresholds = graph.Node.Where(n => Thresholds.Contains(n.OpType) && n.Output.Any(FromShapes)).ToArray();
        var compared = thresholds.SelectMany(n => n.Input).Where(FromShapes).ToHashSet(StringComparer.Ordinal);
        var reshapes = graph.Node.Where(n => n.Is("Reshape") && frontier.Contains(n.Input[1]) && n.Int("allowzero", 0) == 0).ToArray();
        var observed = frontier.Concat(compared).Concat(reshapes.Select(r => r.Input[0])).Where(t => view.Initializer(t) is null && !view.Inputs.Any(i => i.Name == t)).Distinct(StringComparer.Ordinal).ToArray();

        var probes = new ModelProto(model);
        var returned = graph.Output.Select(o => o.Name).ToHashSet(StringComparer.Ordinal);
        probes.Graph.Output.Add(observed.Where(o => !returned.Contains(o)).Select(o => new ValueInfoProto { Name = o }));
        var feeds = Sizes.Select(size => Feeds(view.Inputs, size)).ToArray();
        if (OrtEvaluator.TryRun(probes, feeds, observed, keepDataOf: frontier.Union(compared).ToHashSet(StringComparer.Ordinal)) is not { } results)
            return false;
        var runs = new List<Dictionary<string, TensorProto>>();
        for (var i = 0; i < feeds.Length; i++)
        {
            var run = results[i].ToDictionary(r => r.Name, StringComparer.Ordinal);
            foreach (var tensor in feeds[i].Concat(graph.Initializer))
                run.TryAdd(tensor.Name, tensor);
            runs.Add(run);
        }

        var (untrustedValues, untrustedShapes) = Dependent(view, thresholds.Where(n => !IsSafe(n)).SelectMany(n => n.Output));
        var untrusted = untrustedValues.Union(untrustedShapes).ToHashSet(StringComparer.Ordinal);

        // Nothing that is compared varies, or a size is compared with a negative number, as exporters do before Expand: sizes are not negative.
        bool IsSafe(NodeProto node) => node.Input.Where(compared.Contains).All(i => Same(runs, i)) || (node.OpType == "Equal" && node.Input.Any(i => runs.All(r => IsNegative(r.GetValueOrDefault(i)))));

        // Reshape targets first: one that varies may still be written with 0 (copy) and −1 (the rest).
        var added = new Dictionary<string, TensorProto>(StringComparer.Ordinal);
        foreach (var reshape in reshapes)
        {
            if (!untrusted.Contains(reshape.Input[1]) && !Same(runs, reshape.Input[1]) && Target(runs, reshape) is { } target)
            {
                var name = reshape.Output[0] + "_shape";
                added[name] = Tensors.Vector(name, target);
                reshape.Input[1] = name;
            }
        }
        foreach (var tensor in frontier)
        {
            // A sequence has no type here.
            if (untrusted.Contains(tensor) || !Same(runs, tensor) || runs[0][tensor].DataType == 0 || runs[0][tensor].RawData.Length > MaxBytes)
                continue;
            var name = tensor + "_folded";
            var constant = runs[0][tensor].Clone();
            constant.Name = name;
            added[name] = constant;
            foreach (var (node, _) in view.Consumers(tensor).Where(c => c.Input >= 0))
            {
                for (var i = 0; i < node.Input.Count; i++)
                {
                    if (node.Input[i] == tensor)
                        node.Input[i] = name;
                }
            }
        }
        graph.Initializer.Add(added.Values);
        return true;
    }

    private static bool IsNegative(TensorProto? tensor) => tensor is { DataType: (int)TensorProto.Types.DataType.Int64 } && tensor.RawData.Length > 0 && tensor.ToInt64s().All(v => v < 0);

    /// <summary>Tensors whose value depends on the values of <paramref name="sources"/>, and tensors whose shape does.</summary>
    private static (HashSet<string> Values, HashSet<string> Shapes) Dependent(GraphView view, IEnumerable<string> sources)
    {
        var values = sources.ToHashSet(StringComparer.Ordinal);
        var shapes = new HashSet<string>(StringComparer.Ordinal);
        foreach (var node in view.Graph.Node)
        {
            var inputs = node.Input.Concat(GraphView.Captured(node)).Where(i => i.Length > 0).ToArray();
            var shapeOperands = ShapeOperands(node).Select(i => i < node.Input.Count ? node.Input[i] : "");
            var shapeDepends = inputs.Any(shapes.Contains)
                || node.OpType is "NonZero" or "Compress" or "Unique" or "NonMaxSuppression" or "StringSplit" || node.HasSubgraph() || node.Domain is not ("" or "ai.onnx")
                || shapeOperands.Any(values.Contains);
            if (node.Is("Shape") || node.Is("Size"))
            {
                if (shapeDepends)
                    values.UnionWith(node.Output);
                continue;
            }
            // Dequantised weights count as values: folding them would undo the compression.
            if (inputs.Any(values.Contains) || node.HasSubgraph() || node.OpType.StartsWith("Random", StringComparison.Ordinal) || node.Is("DequantizeLinear"))
                values.UnionWith(node.Output);
            if (shapeDepends)
                shapes.UnionWith(node.Output);
        }
        return (values, shapes);
    }

    /// <summary>Inputs whose values decide the shape of the output.</summary>
    private static int[] ShapeOperands(NodeProto node) => node.OpType switch
    {
        "Reshape" or "Expand" or "Tile" or "Pad" or "TopK" or "OneHot" or "Unsqueeze" or "Squeeze" or "Split" or "CenterCropPad" => [1, 2, 3],
        "Slice" => [1, 2, 3, 4],
        "Resize" or "Upsample" => [1, 2, 3],
        "ConstantOfShape" => [0],
        "Range" => [0, 1, 2],
        "SplitToSequence" or "SequenceAt" or "AffineGrid" or "Col2Im" or "MaxUnpool" => [1, 2],
        _ => [],
    };

    /// <summary>Zeros for every input; each dynamic dimension has a size of its own, a multiple of <paramref name="size"/>.</summary>
    internal static TensorProto[] Feeds(IReadOnlyList<ValueInfoProto> inputs, long size)
    {
        // Every named dimension gets its own size; an unnamed leading one is taken for the batch.
        var named = new Dictionary<string, long>(StringComparer.Ordinal);
        return [.. inputs.Select(input =>
        {
            var dims = input.Type.TensorType.Shape.Dim.Select((d, axis) =>
            {
                if (d.HasDimValue && d.DimValue > 0)
                    return d.DimValue;
                var name = d.HasDimParam && d.DimParam.Length > 0 ? d.DimParam : axis == 0 ? "batch" : $"{input.Name}:{axis}";
                if (!named.TryGetValue(name, out var value))
                    named[name] = value = named.Count == 0 ? size : size * 8 * named.Count;
                return value;
            }).ToArray();
            var type = input.Type.TensorType.ElemType;
            var bytes = new byte[ElementType.Bytes(type, dims.Aggregate(1L, (a, b) => a * b))];
            return Tensors.Raw(input.Name, (TensorProto.Types.DataType)type, bytes, dims);
        })];
    }

    /// <summary>The same tensor in every run; a sequence (which has no element type here) cannot be an initializer.</summary>
    private static bool Same(List<Dictionary<string, TensorProto>> runs, string tensor) =>
        runs.All(r => r.TryGetValue(tensor, out var value) && value.DataType != 0 && value.Dims.SequenceEqual(runs[0][tensor].Dims) && value.RawData.Equals(runs[0][tensor].RawData));

    private static long[]? Target(List<Dictionary<string, TensorProto>> runs, NodeProto reshape)
    {
        var targets = runs.Select(r => r[reshape.Input[1]].ToInt64s()).ToArray();
        if (targets.Any(t => t.Length != targets[0].Length))
            return null;
        var target = targets[0].ToArray();
        var open = target.Contains(-1);
        for (var i = 0; i < target.Length; i++)
        {
            if (targets.All(t => t[i] == target[i]))
                continue;
            if (runs.Select((r, k) => (Dims: r[reshape.Input[0]].Dims, Value: targets[k][i])).All(x => i < x.Dims.Count && x.Dims[i] == x.Value))
                target[i] = 0;
            else if (!open)
                (target[i], open) = (-1, true);
            else
                return null;
        }
        return target;
    }
}
