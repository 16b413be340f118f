using QuantSdk.Onnx;

namespace QuantSdk.Rewriting;

/// <summary>
/// LayerNormalization over the last axis as InstanceNormalization, each row a channel of its own, and the scale and shift behind it.
/// ONNX Runtime's CPU kernel for layers is scalar, that for instances is vectorised: 7 to 40 times faster on the same numbers.
/// Normalisations that change nothing but the mean and the deviation (adaptive ones) lose their scale and shift altogether.
/// </summary>
internal static class RowNormalization
{
    /// <summary>The tensors whose shapes <see cref="Fuse"/> asks for.</summary>
    public static IEnumerable<string> Tensors(GraphProto graph) => graph.Node.Where(n => n.Is("LayerNormalization")).Select(n => n.Input[0]);

    /// <returns>How many were replaced.</returns>
    public static int Fuse(GraphProto graph, ProbedShapes shapes)
    {
        var view = new GraphView(graph);
        var writer = new Writer(graph, view);
        var nodes = new List<NodeProto>();
        var count = 0;
        foreach (var node in graph.Node)
        {
            if (!node.Is("LayerNormalization") || Match(view, node, shapes) is not { } dims)
            {
                nodes.Add(node);
                continue;
            }
            nodes.AddRange(writer.Write(node, dims, shapes.OnlyBatchVaries));
            count++;
        }
        if (count == 0)
            return 0;
        graph.Node.Clear();
        graph.Node.Add(nodes);
        graph.Initializer.Add(writer.Initializers);
        return count;
    }

    /// <summary>The shapes of what is normalised, or null where the node is none that can be written so.</summary>
    private static long[][]? Match(GraphView view, NodeProto norm, ProbedShapes shapes)
    {
        if (shapes[norm.Input[0]] is not { } dims || dims.Any(d => d.Length < 2 || d[^1] != dims[0][^1]) || norm.Output.Skip(1).Any(o => o.Length > 0))
            return null;
        var rank = dims[0].Length;
        return norm.Int("axis", -1) is var axis && (axis == -1 || axis == rank - 1) && norm.Input.Skip(1).Where(i => i.Length > 0).All(i => view.Initializer(i) is { Dims: [var length] } && length == dims[0][^1]) ? dims : null;
    }

    private sealed class Writer(GraphProto graph, GraphView view)
    {
        private readonly HashSet<string> _names = graph.Initializer.Select(i => i.Name).ToHashSet(StringComparer.Ordinal);

        public List<TensorProto> Initializers { get; } = [];

        public IEnumerable<NodeProto> Write(NodeProto norm, long[][] dims, bool onlyBatchVaries)
        {
            var steps = new List<(string Op, string[] Inputs)>();
            var width = dims[0][^1];
            var epsilon = norm.Float("epsilon", 1e-5f);
            // Rows of a fixed number are channels where they are; else each is a batch of one channel.
            var inPlace = onlyBatchVaries && dims[0].Length == 3 && dims.All(d => d[1] == dims[0][1]);
            if (!inPlace)
                steps.Add(("Reshape", [Constant($"rows_of_{width}", -1, 1, width)]));
            var channels = inPlace ? dims[0][1] : 1;
            steps.Add(("InstanceNormalization", [Constant($"ones_{channels}", channels, 1f), Constant($"zeros_{channels}", channels, 0f)]));
            if (!inPlace)
                steps.Add(("Reshape", [norm.Output[0] + "_rows_shape"]));
            if (view.Initializer(norm.Input[1]) is { } scale && !scale.ToFloats().All(v => v == 1))
                steps.Add(("Mul", [norm.Input[1]]));
            if (norm.Input.Count > 2 && norm.Input[2].Length > 0 && !view.Initializer(norm.Input[2])!.ToFloats().All(v => v == 0))
                steps.Add(("Add", [norm.Input[2]]));

            if (!inPlace)
                yield return Nodes.Create("Shape", norm.Name + "/shape", [norm.Input[0]], [norm.Output[0] + "_rows_shape"]);
            var tensor = norm.Input[0];
            for (var i = 0; i < steps.Count; i++)
            {
                var output = i == steps.Count - 1 ? norm.Output[0] : $"{norm.Output[0]}_rows_{i}";
                var name = steps[i].Op == "InstanceNormalization" ? norm.Name : $"{norm.Name}/{steps[i].Op}_{i}";
                var node = Nodes.Create(steps[i].Op, name, [tensor, .. steps[i].Inputs], [output]);
                yield return steps[i].Op == "InstanceNormalization" ? node.With("epsilon", epsilon) : node;
                tensor = output;
            }
        }

        private string Constant(string name, params ReadOnlySpan<long> values)
        {
            name = "layernorm_" + name;
            if (_names.Add(name))
                Initializers.Add(Onnx.Tensors.Vector(name, values.ToArray()));
            return name;
        }

        private string Constant(string name, long count, float value)
        {
            name = "layernorm_" + name;
            if (_names.Add(name))
                Initializers.Add(Onnx.Tensors.Vector(name, Enumerable.Repeat(value, (int)count).ToArray()));
            return name;
        }
    }
}
