using QuantSdk.Onnx;
using QuantSdk.Recipes;
using QuantSdk.Runtime;

namespace QuantSdk.Calibration;

/// <summary>A float model with some of its tensors as extra outputs, open in ONNX Runtime.</summary>
internal sealed class ObservedModel : IDisposable
{
    /// <summary>Bytes that the observed outputs of one batch may take: they all live at once, and they are what decides peak memory.</summary>
    public const long ByteBudget = 96 << 20;

    /// <summary>Rows of a denoising step that stay in one calibration batch: 32 with and without guidance.</summary>
    public const int MostTogether = 64;

    /// <summary>Rows of a calibration batch where more do not stay together.</summary>
    public const int DefaultCalibrationBatch = 32;

    private long? _bytesPerRow;

    private ObservedModel(ModelSession session, IReadOnlyList<string> tensors) => (Session, Tensors) = (session, tensors);

    public ModelSession Session { get; }

    /// <summary>The tensors that can be read after a run; inputs of the model among them are read from the binding's inputs.</summary>
    public IReadOnlyList<string> Tensors { get; }

    /// <param name="scratch">A folder for the model with its extra outputs.</param>
    public static ObservedModel Open(OnnxModel model, IReadOnlyList<string> tensors, string scratch, int threads)
    {
        var proto = new ModelProto(model.Proto);
        var inputs = new GraphView(proto.Graph).Inputs.Select(i => i.Name).ToHashSet(StringComparer.Ordinal);
        var outputs = proto.Graph.Output.Select(o => o.Name).ToHashSet(StringComparer.Ordinal);
        proto.Graph.Output.Add(tensors.Where(t => !inputs.Contains(t) && !outputs.Contains(t)).Select(t => new ValueInfoProto { Name = t }));
        var path = Path.Combine(scratch, "observed.onnx");
        OnnxFile.Save(proto, path, path + ".data");
        var session = ModelSession.Open(path, new SessionSettings
        {
            Threads = threads,
            // Between runs the observers need the cores that idle workers would otherwise spin on.
            Entries = new Dictionary<string, string> { ["session.force_spinning_stop"] = "1" },
        });
        return new ObservedModel(session, tensors);
    }

    /// <summary>Rows at once that keep the observed bytes within the budget, cut so that batches are equal.</summary>
    public Batching BatchFor(Feed feed, OwnShapes? shapes) => feed.Batch ?? Parts(feed, shapes, feed.Rows);

    /// <summary>
    /// The recipe's CalibrationBatch. Without one, ema and timestep, which average over batches, take sizes that depend on neither machine
    /// nor memory: the rows of a denoising step together up to <see cref="MostTogether"/>, everything else in batches of
    /// <see cref="DefaultCalibrationBatch"/>; a batch too large for the budget is run in parts. The others have no use for batches.
    /// </summary>
    public BatchPolicy Batches(Recipe recipe) => (feed, shapes) =>
    {
        if (recipe.CalibrationBatch is { } asked)
            return asked;
        if (!RangeEstimator.Create(recipe).NeedsBatches)
            return BatchFor(feed, shapes);
        var steps = shapes is not null || recipe.Calibrator == "timestep";
        var together = steps && feed.Rows <= MostTogether ? feed.Rows : DefaultCalibrationBatch;
        return new Batching(feed.Batch ?? Parts(feed, shapes, Math.Min(together, feed.Rows)), together);
    };

    /// <summary>Elements of each tensor for one row, found by running the first ones.</summary>
    public IReadOnlyDictionary<string, long> ElementsPerRow(Feed feed, OwnShapes? shapes)
    {
        var elements = new Dictionary<string, long>(StringComparer.Ordinal);
        using var probe = new RowRunner(Session, 1);
        probe.Run(feed, shapes, null, (binding, _, rows) =>
        {
            foreach (var tensor in Tensors)
                elements[tensor] = binding.Values(tensor).Length / rows;
        }, default);
        return elements;
    }

    /// <summary>The rows cut into equal parts within the budget.</summary>
    private int Parts(Feed feed, OwnShapes? shapes, int rows)
    {
        var most = (int)Math.Clamp(ByteBudget / Math.Max(1, _bytesPerRow ??= BytesPerRow(feed, shapes)), 1, rows);
        var parts = (rows + most - 1) / most;
        return (rows + parts - 1) / parts;
    }

    private long BytesPerRow(Feed feed, OwnShapes? shapes) => ElementsPerRow(feed.Slice(0, 1), shapes).Values.Sum() * sizeof(float);

    public void Dispose() => Session.Dispose();
}
