using QuantSdk.Runtime;

namespace QuantSdk.Calibration;

/// <summary>Shapes of the inputs that a source feeds itself, for a batch of the given rows.</summary>
internal delegate IEnumerable<KeyValuePair<string, long[]>> OwnShapes(int rows);

/// <summary>How many rows of a feed to run at once.</summary>
internal delegate int BatchPolicy(Feed feed, OwnShapes? shapes);

/// <summary>Where batches of inputs come from: rows of files, or a diffusion loop over a float model.</summary>
internal abstract class CalibrationSource
{
    /// <summary>Runs a session over everything.</summary>
    /// <param name="seen">Called after each batch with the binding, whose inputs and outputs can be read, and its rows.</param>
    /// <param name="progress">Called with (done, total).</param>
    public abstract void Run(ModelSession session, BatchPolicy batch, Action<ModelBinding, int> seen, Action<int, int>? progress, CancellationToken cancellationToken);
}
