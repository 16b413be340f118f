using QuantSdk.Onnx;
using QuantSdk.Runtime;

namespace QuantSdk.Calibration;

/// <summary>A float model with some of its tensors as extra outputs, open in ONNX Runtime.</summary>
internal sealed class ObservedModel : IDisposable
{
    /// <summary>Bytes that the observed outputs of one batch may take: they all live at once, and they are what decides peak memory.</summary>
    public const long ByteBudget = 96 << 20;

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

    /// <summary>The batch that keeps the observed bytes within the budget, cut so that batches are equal.</summary>
    public int BatchFor(Feed feed, OwnShapes? shapes)
    {
        if (feed.Batch is { } forced)
            return forced;
        long bytes = 0;
        using (var probe = new RowRunner(Session, 1))
            probe.Run(feed.Slice(0, 1), shapes, null, (binding, _, _) => bytes = Tensors.Sum(t => (long)binding.Values(t).Length * sizeof(float)), default);
        var most = (int)Math.Clamp(ByteBudget / Math.Max(1, bytes), 1, feed.Rows);
        var batches = (feed.Rows + most - 1) / most;
        return (feed.Rows + batches - 1) / batches;
    }

    public void Dispose() => Session.Dispose();
}
