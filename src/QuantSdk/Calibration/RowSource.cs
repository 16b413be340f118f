using QuantSdk.Runtime;

namespace QuantSdk.Calibration;

/// <summary>Rows fed as they are.</summary>
internal sealed class RowSource(Feed feed) : CalibrationSource
{
    public override void Run(ModelSession session, BatchPolicy batch, Action<ModelBinding, int> seen, Action<int, int>? progress, CancellationToken cancellationToken)
    {
        using var runner = new RowRunner(session, batch(feed, null));
        runner.Run(feed, null, null, (binding, start, count) =>
        {
            seen(binding, count);
            progress?.Invoke(start + count, feed.Rows);
        }, cancellationToken);
    }
}
