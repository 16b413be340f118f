using System.Diagnostics;
using QuantSdk.Runtime;

namespace QuantSdk.Bench;

/// <summary>
/// The forward passes that a calibration cannot do without: rows that it has seen are collected to whole batches, which run through one
/// default session without extra outputs, timed on their own. Running step by step beside the calibration, both get the same share of a
/// machine that is not quiet.
/// </summary>
internal sealed class PlainForward(ModelSession session, int batch) : IDisposable
{
    private ModelBinding? _binding;
    private int _collected;

    /// <summary>Time in the session alone.</summary>
    public TimeSpan Running { get; private set; }

    /// <summary>All time spent here, copies included: what the calibration must not be charged with.</summary>
    public TimeSpan Total { get; private set; }

    public void Add(ModelBinding seen, int rows)
    {
        var started = Stopwatch.GetTimestamp();
        _binding ??= session.Bind(session.Inputs.ToDictionary(i => i.Name, i => Shape(i, seen.InputShape(i.Name), rows)));
        foreach (var input in session.Inputs)
        {
            var source = seen.InputBytes(input.Name);
            var target = _binding.InputBytes(input.Name);
            // What has no rows, such as the timestep, is the same for the whole batch.
            source.CopyTo(source.Length == target.Length ? target : target[(source.Length / rows * _collected)..]);
        }
        _collected += rows;
        if (_collected == batch)
        {
            var run = Stopwatch.GetTimestamp();
            _binding.Run();
            Running += Stopwatch.GetElapsedTime(run);
            _collected = 0;
        }
        Total += Stopwatch.GetElapsedTime(started);
    }

    public void Dispose() => _binding?.Dispose();

    private long[] Shape(Port port, ReadOnlySpan<long> seen, int rows) => port.Shape is [< 0, ..] && seen[0] == rows ? [batch, .. seen[1..]] : [.. seen];
}
