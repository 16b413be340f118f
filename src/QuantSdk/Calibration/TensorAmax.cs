using Microsoft.ML.OnnxRuntime;
using QuantSdk.Onnx;
using QuantSdk.Runtime;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Calibration;

/// <summary>
/// The largest finite magnitude of every 32-bit float tensor of a model on some data: what says where 16 bits do not reach. ONNX Runtime
/// reduces each tensor to one number where it is made, so that memory is that of an ordinary run.
/// </summary>
internal static class TensorAmax
{
    /// <summary>Rows that are looked at where the data has more: halves have twice the headroom over what is seen.</summary>
    public const int MostRows = 8;

    /// <param name="model">A model that ONNX Runtime runs, of opset 12 or newer: the float model before it is lowered.</param>
    /// <param name="scratch">A folder for the model with its extra outputs.</param>
    /// <returns>By tensor name, of inputs and what nodes of the graph make (not of bodies of control flow). Infinite values and NaN, as masks hold, do not count.</returns>
    public static IReadOnlyDictionary<string, float> Observe(OnnxModel model, CalibrationSource source, string scratch, int threads, Action<int, int>? progress, CancellationToken cancellationToken)
    {
        var types = ElementTypes.Of(model.Proto);
        var sequences = model.Graph.Node.Where(n => n.OpType.Contains("Sequence", StringComparison.Ordinal) || n.OpType.StartsWith("Optional", StringComparison.Ordinal)).SelectMany(n => n.Output).ToHashSet(StringComparer.Ordinal);
        string[] tensors = [.. new GraphView(model.Graph).Inputs.Select(i => i.Name).Concat(model.Graph.Node.SelectMany(n => n.Output))
            .Where(t => t.Length > 0 && !sequences.Contains(t) && types.GetValueOrDefault(t) == (int)DataType.Float)];
        source = source.Few(MostRows);
        float[] amax;
        try
        {
            amax = Run(model, tensors, false, source, scratch, threads, progress, cancellationToken);
        }
        catch (Exception e) when (e is OnnxRuntimeException or QuantSdkException)
        {
            // There are no largest values of tensors without elements, such as the state of a language model before its first token.
            amax = Run(model, tensors, true, source, scratch, threads, progress, cancellationToken);
        }
        int[] masks = [.. Enumerable.Range(0, tensors.Length).Where(i => !float.IsFinite(amax[i]))];
        if (masks.Length > 0)
        {
            var finite = Run(model, [.. masks.Select(i => tensors[i])], true, source, scratch, threads, progress, cancellationToken);
            for (var i = 0; i < masks.Length; i++)
                amax[masks[i]] = finite[i];
        }
        return new SortedDictionary<string, float>(tensors.Zip(amax).ToDictionary(t => t.First, t => t.Second, StringComparer.Ordinal), StringComparer.Ordinal);
    }

    /// <summary>The largest magnitude of each tensor, NaN or infinity included unless <paramref name="finite"/>.</summary>
    private static float[] Run(OnnxModel model, string[] tensors, bool finite, CalibrationSource source, string scratch, int threads, Action<int, int>? progress, CancellationToken cancellationToken)
    {
        var proto = new ModelProto(model.Proto);
        var reduced = AddReductions(proto.Graph, tensors, finite);
        var path = Path.Combine(scratch, "amax.onnx");
        OnnxFile.Save(proto, path, path + ".data");
        // Each tensor has a reader of its own, so that nothing can be fused; looking for it takes longer than a run.
        using var session = ModelSession.Open(path, new SessionSettings { Threads = threads, Optimisation = GraphOptimizationLevel.ORT_DISABLE_ALL });
        var amax = new float[tensors.Length];
        source.Run(session, (feed, _) => feed.Batch ?? Math.Min(MostRows, feed.Rows), (binding, _, _) =>
        {
            for (var i = 0; i < amax.Length; i++)
            {
                // NaN stays, which Max sees to.
                amax[i] = Math.Max(amax[i], binding.Values(reduced[i])[0]);
            }
        }, progress, cancellationToken);
        return amax;
    }

    /// <summary>One number for each tensor. Finite: 0 where there is none; opening a session takes time by the node, so others do without.</summary>
    private static string[] AddReductions(GraphProto graph, string[] tensors, bool finite)
    {
        var names = new UniqueNames(graph);
        var (zero, most, flat) = (names.Make("amax_zero"), names.Make("amax_most"), names.Make("amax_flat"));
        graph.Initializer.Add([Tensors.Vector(zero, 0f), Tensors.Scalar(most, float.MaxValue), Tensors.Vector(flat, -1L)]);
        var reduced = new string[tensors.Length];
        for (var i = 0; i < tensors.Length; i++)
        {
            string Node(string op, params ReadOnlySpan<string> inputs)
            {
                var output = names.Make($"amax_{op}_{i}");
                graph.Node.Add(Nodes.Create(op, output, inputs.ToArray(), [output]));
                return output;
            }

            var magnitude = Node("Abs", tensors[i]);
            if (finite)
            {
                var row = Node("Concat", Node("Reshape", magnitude, flat), zero);
                graph.Node[^1].With("axis", 0L);
                magnitude = Node("Where", Node("LessOrEqual", row, most), row, zero);
            }
            reduced[i] = Node("ReduceMax", magnitude);
            graph.Node[^1].With("keepdims", 0L);
            graph.Output.Add(new ValueInfoProto { Name = reduced[i] });
        }
        return reduced;
    }
}
