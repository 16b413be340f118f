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
    /// <summary>Rows that are looked at where the data has more: halves have 2× of headroom over what is seen.</summary>
    public const int MostRows = 8;

    /// <param name="model">A model that ONNX Runtime runs: the float model before it is lowered.</param>
    /// <param name="scratch">A folder for the model with its extra outputs.</param>
    /// <returns>By tensor name, of inputs and what nodes of the graph make (not of bodies of control flow). Infinite values and NaN, as masks hold, do not count.</returns>
    public static IReadOnlyDictionary<string, float> Observe(OnnxModel model, CalibrationSource source, string scratch, int threads, Action<int, int>? progress, CancellationToken cancellationToken)
    {
        var types = ElementTypes.Of(model.Proto);
        var proto = new ModelProto(model.Proto);
        var sequences = proto.Graph.Node.Where(n => n.OpType.Contains("Sequence", StringComparison.Ordinal) || n.OpType.StartsWith("Optional", StringComparison.Ordinal)).SelectMany(n => n.Output).ToHashSet(StringComparer.Ordinal);
        string[] tensors = [.. new GraphView(proto.Graph).Inputs.Select(i => i.Name).Concat(proto.Graph.Node.SelectMany(n => n.Output))
            .Where(t => t.Length > 0 && !sequences.Contains(t) && types.GetValueOrDefault(t) == (int)DataType.Float)];
        var reduced = AddReductions(proto, tensors);
        var result = new SortedDictionary<string, float>(StringComparer.Ordinal);
        using var observed = ObservedModel.Open(model with { Proto = proto }, reduced, scratch, threads);
        source.Few(MostRows).Run(observed.Session, (feed, _) => feed.Batch ?? Math.Min(MostRows, feed.Rows), (binding, rows, _) =>
        {
            for (var i = 0; i < tensors.Length; i++)
            {
                var amax = binding.Values(reduced[i])[0];
                result[tensors[i]] = Math.Max(result.GetValueOrDefault(tensors[i]), amax);
            }
        }, progress, cancellationToken);
        return result;
    }

    /// <summary>One number for each tensor; 0 of an empty one.</summary>
    private static string[] AddReductions(ModelProto proto, string[] tensors)
    {
        var names = new UniqueNames(proto.Graph);
        var (zero, most, flat) = (names.Make("amax_zero"), names.Make("amax_most"), names.Make("amax_flat"));
        proto.Graph.Initializer.Add([Tensors.Vector(zero, 0f), Tensors.Scalar(most, float.MaxValue), Tensors.Vector(flat, -1L)]);
        var reduced = new string[tensors.Length];
        for (var i = 0; i < tensors.Length; i++)
        {
            string Node(string op, params ReadOnlySpan<string> inputs)
            {
                var output = names.Make($"amax_{op}_{i}");
                proto.Graph.Node.Add(Nodes.Create(op, output, inputs.ToArray(), [output]));
                return output;
            }

            var row = Node("Concat", Node("Reshape", tensors[i], flat), zero);
            proto.Graph.Node[^1].With("axis", 0L);
            var magnitude = Node("Abs", row);
            var finite = Node("Where", Node("LessOrEqual", magnitude, most), magnitude, zero);
            reduced[i] = Node("ReduceMax", finite);
            proto.Graph.Node[^1].With("keepdims", 0L);
        }
        return reduced;
    }
}
