using QuantSdk.Runtime;

namespace QuantSdk.Calibration;

/// <summary>Runs a session over the rows of a feed in batches of a bounded size; one binding for each size, reused.</summary>
internal sealed class RowRunner(ModelSession session, Batching batching) : IDisposable
{
    private readonly Dictionary<string, ModelBinding> _bindings = new(StringComparer.Ordinal);

    /// <summary>The calibration batch that a row belongs to, from 0.</summary>
    public int BatchOf(Feed feed, int row) => row / RowsOfBatch(feed);

    /// <summary>Runs every row. Rows that do not fill a fixed batch are left out, as half a batch cannot be run.</summary>
    /// <param name="prepare">Called before a batch with (binding, first row, rows), to feed inputs that are not in the feed.</param>
    /// <param name="shapes">Shapes of those inputs for a batch of the given rows.</param>
    /// <param name="done">Called after a batch with (binding, first row, rows).</param>
    public void Run(Feed feed, OwnShapes? shapes, Action<ModelBinding, int, int>? prepare, Action<ModelBinding, int, int> done, CancellationToken cancellationToken)
    {
        for (var start = 0; start < feed.Rows;)
        {
            cancellationToken.ThrowIfCancellationRequested();
            var count = Math.Min(Math.Min(batching.Run, feed.Rows - start), RowsOfBatch(feed) - start % RowsOfBatch(feed));
            if (feed.Batch is { } size)
            {
                if (feed.Rows - start < size)
                    return;
                count = size;
            }
            var binding = Bind(feed, shapes, count);
            foreach (var (name, input) in feed.Inputs)
                input.CopyTo(binding.InputBytes(name), start, count);
            prepare?.Invoke(binding, start, count);
            binding.Run();
            done(binding, start, count);
            start += count;
        }
    }

    public void Dispose()
    {
        foreach (var binding in _bindings.Values)
            binding.Dispose();
    }

    private int RowsOfBatch(Feed feed) => feed.Batch is { } size ? Math.Max(1, batching.Calibrated / size) * size : batching.Calibrated;

    private ModelBinding Bind(Feed feed, OwnShapes? more, int count)
    {
        var shapes = feed.Inputs.ToDictionary(i => i.Key, i => i.Value.Shape(session.Input(i.Key), count), StringComparer.Ordinal);
        foreach (var (name, shape) in more?.Invoke(count) ?? [])
            shapes[name] = shape;
        var key = string.Join(';', shapes.OrderBy(s => s.Key, StringComparer.Ordinal).Select(s => $"{s.Key}[{string.Join(',', s.Value)}]"));
        if (!_bindings.TryGetValue(key, out var binding))
            _bindings[key] = binding = session.Bind(shapes);
        return binding;
    }
}
