using QuantSdk.Onnx;
using QuantSdk.Runtime;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Calibration;

/// <summary>Rows fed as they are.</summary>
internal sealed class RowSource : CalibrationSource
{
    private readonly Feed _feed;

    /// <summary>Rows of one timestep each, or everything with none.</summary>
    private readonly IReadOnlyList<(float? Timestep, int Start, int Count)> _groups;

    public RowSource(Feed feed)
        : this(feed, [(null, 0, feed.Rows)])
    {
    }

    private RowSource(Feed feed, IReadOnlyList<(float?, int, int)> groups) => (_feed, _groups) = (feed, groups);

    public override IReadOnlyList<float> Timesteps => [.. _groups.Where(g => g.Timestep is not null).Select(g => g.Timestep!.Value)];

    /// <summary>
    /// Rows brought together by the value of the model's timestep input, so that a batch never holds two. Where the model's batch is fixed,
    /// the last row of a timestep fills up its last batch: a row seen twice changes no minimum and no maximum.
    /// </summary>
    /// <exception cref="QuantSdkException">QSDK2010 where a row has several timesteps.</exception>
    public static RowSource ByTimestep(Feed feed, Port timestep)
    {
        var rows = new List<int>();
        var groups = new List<(float?, int, int)>();
        foreach (var group in Values(feed, timestep).Select((value, row) => (value, row)).GroupBy(v => v.value, v => v.row).OrderBy(g => g.Key))
        {
            var start = rows.Count;
            rows.AddRange(group);
            while (feed.Batch is { } fixedBatch && (rows.Count - start) % fixedBatch != 0)
                rows.Add(rows[^1]);
            groups.Add((group.Key, start, rows.Count - start));
        }
        return new RowSource(feed.Gather(rows), groups);
    }

    public override IReadOnlyDictionary<string, long[]> RowShapes(IReadOnlyList<Port> ports) =>
        ports.Where(p => _feed.Inputs.ContainsKey(p.Name)).ToDictionary(p => p.Name, p => _feed.Inputs[p.Name].Shape(p, 1), StringComparer.Ordinal);

    public override CalibrationSource Few(int rows)
    {
        // Whole batches where the model's batch is fixed.
        var count = _feed.Batch is { } batch ? (rows + batch - 1) / batch * batch : rows;
        return count >= _feed.Rows ? this : new RowSource(_feed.Gather([.. Enumerable.Range(0, count).Select(i => (int)((long)i * _feed.Rows / count))]));
    }

    public override void Run(ModelSession session, BatchPolicy batch, RowsSeen seen, Action<int, int>? progress, CancellationToken cancellationToken)
    {
        var runners = new Dictionary<Batching, RowRunner>();
        try
        {
            var batches = 0;
            foreach (var (timestep, first, rows) in _groups)
            {
                var feed = _groups.Count == 1 ? _feed : _feed.Slice(first, rows);
                var batching = batch(feed, null);
                if (!runners.TryGetValue(batching, out var runner))
                    runners[batching] = runner = new RowRunner(session, batching);
                runner.Run(feed, null, null, (binding, start, count) =>
                {
                    seen(binding, count, new BatchKey(batches + runner.BatchOf(feed, start), timestep));
                    progress?.Invoke(first + start + count, _feed.Rows);
                }, cancellationToken);
                batches += runner.BatchOf(feed, rows - 1) + 1;
            }
        }
        finally
        {
            foreach (var runner in runners.Values)
                runner.Dispose();
        }
    }

    /// <summary>The timestep of every row.</summary>
    private static float[] Values(Feed feed, Port timestep)
    {
        var (array, kind) = feed.Inputs[timestep.Name];
        var values = System.Runtime.InteropServices.MemoryMarshal.Cast<byte, double>(LosslessCast.To(array, DataType.Double, timestep.Name).Data.Span);
        var result = new float[feed.Rows];
        var length = kind == FeedKind.Rows ? values.Length / feed.Rows : values.Length;
        for (var row = 0; row < feed.Rows; row++)
        {
            var own = kind == FeedKind.Rows ? values.Slice(row * length, length) : values;
            if (own.IsEmpty || own.ContainsAnyExcept(own[0]))
                throw new QuantSdkException("QSDK2010", $"Row {row} of {array} holds {own.Length} values that are not one timestep; the timestep calibrator wants one for each row. Choose another Calibrator.");
            result[row] = (float)own[0];
        }
        return result;
    }
}
