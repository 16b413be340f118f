using QuantSdk.Calibration;
using QuantSdk.Numerics;
using QuantSdk.Onnx;
using QuantSdk.Planning;
using QuantSdk.Rewriting;
using QuantSdk.Runtime;

namespace QuantSdk.Engines;

/// <summary>The stage that rounds weights of few bits by what their layers read: another pass over the calibration data, then <see cref="ErrorRounding"/>.</summary>
internal static class RoundingStage
{
    /// <summary>Bytes of second moments held at once; more are observed in further passes.</summary>
    private const long ByteBudget = 512L << 20;

    /// <summary>A longer reduction axis is rounded to nearest: its second moments alone would take 256 MB.</summary>
    private const int LongestAxis = 8192;

    /// <summary>Positions for each element of the reduction axis: enough for H to have full rank, with room.</summary>
    private const int PositionsPerElement = 4;

    private const int LeastPositions = 2048;

    public static bool Applies(Plan plan) => plan.Layers.Any(l => l.Weight.Rounding == "error");

    /// <param name="model">The model that the plan is of.</param>
    /// <param name="rows">Rows that the source gives, over all its steps.</param>
    /// <param name="scratch">A folder for models with extra outputs.</param>
    /// <param name="negativeScales">False where a target wants positive scales.</param>
    /// <returns>Codes of the layers that it can round; what has groups, pads by itself or is too long is left to rounding to nearest.</returns>
    public static RoundedWeights Run(
        OnnxModel model, Plan plan, CalibrationSource source, long rows, string scratch, int threads, bool negativeScales, Action<int, int>? progress, CancellationToken cancellation)
    {
        var initializers = model.Graph.Initializer.ToDictionary(t => t.Name, StringComparer.Ordinal);
        var nodes = model.Graph.Node.ToDictionary(n => n.Label(), StringComparer.Ordinal);
        var results = new Dictionary<string, RoundedWeight>(StringComparer.Ordinal);
        var readings = plan.Layers.Where(l => l.Weight.Rounding == "error")
            .Select(l => new Reading(l, PatchesOf(l, nodes[l.Node], initializers[l.Weight.Tensor])))
            .Where(r => r.Patches is { Length: <= LongestAxis }).GroupBy(r => r.Key, StringComparer.Ordinal).Select(g => g.ToArray());
        foreach (var group in Groups(readings))
        {
            cancellation.ThrowIfCancellationRequested();
            var observers = group.Select(same => (Layers: same, Observer: new GramObserver(same[0].Patches!, PositionsPerRow(same[0].Patches!.Length, rows)))).ToArray();
            string[] tensors = [.. group.Select(same => same[0].Tensor).Distinct(StringComparer.Ordinal)];
            using (var observed = ObservedModel.Open(model, tensors, scratch, threads))
            {
                void Seen(ModelBinding binding, int count, BatchKey key) => Parallel.ForEach(
                    observers, new ParallelOptions { MaxDegreeOfParallelism = threads }, o => o.Observer.Add(binding.Values(o.Layers[0].Tensor), binding.Shape(o.Layers[0].Tensor), count));
                source.Run(observed.Session, observed.BatchFor, Seen, progress, cancellation);
            }
            foreach (var (layers, observer) in observers)
            {
                cancellation.ThrowIfCancellationRequested();
                var gram = observer.Finish();
                foreach (var layer in layers.Where(_ => gram.Count > 0).Select(l => l.Layer))
                {
                    if (Round(layer, initializers[layer.Weight.Tensor], gram, HasBias(layer, nodes[layer.Node], model), negativeScales) is { } rounded)
                        results[layer.Node] = rounded;
                }
            }
        }
        return new RoundedWeights(results);
    }

    private static int PositionsPerRow(int length, long rows) => (int)Math.Max(1, (Math.Max(LeastPositions, PositionsPerElement * (long)length) + rows - 1) / Math.Max(1, rows));

    private static Patches? PatchesOf(LayerPlan layer, NodeProto node, TensorProto weight) => layer.Op switch
    {
        "Conv" => Patches.Of(node, weight.Dims),
        "MatMul" or "Gemm" when weight.Dims.Count == 2 => Patches.Linear((int)weight.Dims[1 - layer.Weight.Axis]),
        _ => null,
    };

    /// <summary>A mean error needs no rounding against where a bias takes it up.</summary>
    private static bool HasBias(LayerPlan layer, NodeProto node, OnnxModel model) =>
        layer.Activation.Means is not null && (layer.Op != "MatMul" || model.Graph.Node.Any(n => n.Is("Add") && n.Input.Contains(node.Output[0])));

    private static RoundedWeight? Round(LayerPlan layer, TensorProto weight, Gram gram, bool centred, bool negativeScales)
    {
        var shape = WeightShape.Of(layer.Op, layer.Weight.Axis, weight.Dims, layer.Groups);
        var (outputs, k) = (shape.Outputs, gram.Size);
        var factors = layer.Activation.Smoothed?.Factors;
        var hessian = gram.Hessian(factors is null ? null : [.. Enumerable.Range(0, k).Select(i => factors[i / shape.Taps])], centred);
        var smoothed = EncodedLayer.Smooth(weight, shape, factors).Smoothed;
        var format = EncodedLayer.Format(layer.Weight, negativeScales) with { InputWeights = [.. Enumerable.Range(0, k).Select(i => (float)hessian[i * k + i])] };
        var grid = IntBlocks.Grid(smoothed, weight.Dims, layer.Weight.Axis, format, layer.Weight.Tensor);
        int Flat(int output, int element) => shape.OutputsFirst ? output * k + element : element * outputs + output;
        var rows = shape.OutputsFirst ? smoothed : Reordered<float>(smoothed, (i, flat) => (i, flat));
        void ScalesOf(int element, float[] scales, float[] zeros)
        {
            for (var o = 0; o < outputs; o++)
            {
                var index = grid.Geometry.ScaleIndex(Flat(o, element));
                (scales[o], zeros[o]) = (grid.Scales[index], grid.ZeroPoints?[index] ?? 0);
            }
        }
        if (ErrorRounding.Round(rows, outputs, k, hessian, ScalesOf, grid.Low, grid.High) is not { } codes)
            return null;
        return new RoundedWeight(shape.OutputsFirst ? codes : Reordered<sbyte>(codes, (i, flat) => (flat, i)), grid);

        // Between [outputs, K] and [K, outputs].
        T[] Reordered<T>(T[] from, Func<int, int, (int To, int From)> direction)
        {
            var result = new T[from.Length];
            for (var o = 0; o < outputs; o++)
            {
                for (var element = 0; element < k; element++)
                {
                    var (to, source) = direction(o * k + element, Flat(o, element));
                    result[to] = from[source];
                }
            }
            return result;
        }
    }

    /// <summary>Cut so that the second moments of a group fit the budget.</summary>
    private static IEnumerable<List<Reading[]>> Groups(IEnumerable<Reading[]> all)
    {
        var group = new List<Reading[]>();
        long bytes = 0;
        foreach (var same in all)
        {
            long length = same[0].Patches!.Length, needed = length * length * sizeof(float);
            if (group.Count > 0 && bytes + needed > ByteBudget)
            {
                yield return group;
                (group, bytes) = ([], 0);
            }
            group.Add(same);
            bytes += needed;
        }
        if (group.Count > 0)
            yield return group;
    }

    /// <summary>A layer and how it reads its tensor.</summary>
    private sealed record Reading(LayerPlan Layer, Patches? Patches)
    {
        public string Tensor => Layer.Activation.Tensor;

        /// <summary>Equal for layers that read the same vectors.</summary>
        public string Key => Patches?.Kernel is null ? Tensor : $"{Tensor}\0{string.Join(' ', Patches.Kernel.Concat(Patches.Strides).Concat(Patches.Dilations).Concat(Patches.PadsBefore).Concat(Patches.PadsAfter))}";
    }
}
