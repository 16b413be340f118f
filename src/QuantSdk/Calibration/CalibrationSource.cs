using QuantSdk.Runtime;

namespace QuantSdk.Calibration;

/// <summary>Shapes of the inputs that a source feeds itself, for a batch of the given rows.</summary>
internal delegate IEnumerable<KeyValuePair<string, long[]>> OwnShapes(int rows);

/// <summary>How to cut a feed: all rows of a denoising step, or rows of which no step is known.</summary>
/// <param name="shapes">Not null inside a denoising loop.</param>
internal delegate Batching BatchPolicy(Feed feed, OwnShapes? shapes);

/// <summary>Called after each run of the model with the binding, whose inputs and outputs can be read, and its rows.</summary>
internal delegate void RowsSeen(ModelBinding binding, int rows, BatchKey key);

/// <summary>Where batches of inputs come from: rows of files, or a diffusion loop over a float model.</summary>
internal abstract class CalibrationSource
{
    /// <summary>The values that the model's timestep input takes, ascending; empty where they are not known.</summary>
    public virtual IReadOnlyList<float> Timesteps => [];

    /// <summary>The shape of each input for a batch of one row, as far as the source feeds it.</summary>
    public virtual IReadOnlyDictionary<string, long[]> RowShapes(IReadOnlyList<Port> ports) => new Dictionary<string, long[]>();

    /// <summary>A source of the given number of rows from all over this one; a loop, whose steps differ more than its rows do, stays whole.</summary>
    public virtual CalibrationSource Few(int rows) => this;

    /// <summary>Runs a session over everything.</summary>
    /// <param name="progress">Called with (done, total).</param>
    public abstract void Run(ModelSession session, BatchPolicy batch, RowsSeen seen, Action<int, int>? progress, CancellationToken cancellationToken);

    /// <summary>The same, for those who need not know which batch it was.</summary>
    public void Run(ModelSession session, BatchPolicy batch, Action<ModelBinding, int> seen, Action<int, int>? progress, CancellationToken cancellationToken) =>
        Run(session, batch, (binding, rows, _) => seen(binding, rows), progress, cancellationToken);
}
