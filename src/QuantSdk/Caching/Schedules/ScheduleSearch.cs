using QuantSdk.Runtime;

namespace QuantSdk.Caching.Schedules;

/// <summary>
/// Finds the full steps that change the final samples least. The first-order model of <see cref="DriftTable"/> is searched from the published schedules and from
/// its cheapest ones by dynamic programming, which costs no run of the model; the best of what it finds are run, and the best run wins.
/// </summary>
internal sealed class ScheduleSearch
{
    private readonly CachedLoop _loop;
    private readonly DriftTable _drift;
    private readonly Dictionary<string, CachedScheduleInfo> _tried = new(StringComparer.Ordinal);
    private readonly Action<string>? _log;
    private readonly CancellationToken _cancellation;

    /// <param name="longestReuse">The most steps that features are reused.</param>
    /// <param name="log">Told what was tried.</param>
    public ScheduleSearch(CachedLoop loop, int longestReuse, Action<string>? log, CancellationToken cancellation)
    {
        (_loop, _log, _cancellation) = (loop, log, cancellation);
        _drift = loop.Drift(longestReuse, cancellation);
    }

    /// <summary>The best schedule of that many full steps.</summary>
    /// <param name="fullSteps">1 to the number of steps.</param>
    /// <param name="runs">The most schedules that are run, 4 or more.</param>
    public CachedScheduleInfo Best(int fullSteps, int runs = 16)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(fullSteps, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(fullSteps, _loop.Steps);
        var even = ScheduleCandidates.Even(_loop.Steps, fullSteps);
        int[][] published = [even, .. ScheduleCandidates.Quadratic(_loop.Steps, fullSteps).Select(q => q.Full)];
        int[][] starts = [.. published, .. new[] { _drift.Cheapest(fullSteps, 1), _drift.Cheapest(fullSteps, 2) }.OfType<int[]>()];
        var model = new SortedDictionary<double, int[]>();
        foreach (var start in starts)
            Descend(start, model);
        Run(even);
        foreach (var quadratic in published.Skip(1).OrderBy(full => _drift.Predict(full)).Take(2))
            Run(quadratic);
        // Half of the runs for what the model likes best, half for neighbours of what has proved best.
        foreach (var full in model.Values.Take(runs / 2))
            Run(full);
        while (_tried.Values.Count(s => s.Full.Count == fullSteps) < runs)
        {
            var best = Tried(fullSteps).First();
            if (Neighbours([.. best.Full], reach: 1).Where(n => !_tried.ContainsKey(Key(n))).MinBy(n => _drift.Predict(n)) is not { } next)
                break;
            Run(next);
        }
        return Tried(fullSteps).First();
    }

    /// <summary>Every schedule run so far, the best first.</summary>
    public IEnumerable<CachedScheduleInfo> Tried(int fullSteps) => _tried.Values.Where(s => s.Full.Count == fullSteps).OrderBy(s => s.Error).ThenBy(s => Key(s.Full), StringComparer.Ordinal);

    /// <summary>Walks to a schedule that no move of one full step makes better by the model.</summary>
    private void Descend(int[] start, SortedDictionary<double, int[]> found)
    {
        var (current, error) = (start, _drift.Predict(start));
        while (true)
        {
            var (next, least) = (current, error);
            foreach (var neighbour in Neighbours(current, reach: _loop.Steps))
            {
                var predicted = _drift.Predict(neighbour);
                if (predicted < least)
                    (next, least) = (neighbour, predicted);
            }
            if (next == current)
                break;
            (current, error) = (next, least);
            found.TryAdd(error, current);
        }
    }

    /// <summary>The schedules with one full step moved.</summary>
    /// <param name="reach">By at most so many steps.</param>
    private IEnumerable<int[]> Neighbours(int[] full, int reach)
    {
        for (var i = 1; i < full.Length; i++)
        {
            for (var to = Math.Max(1, full[i] - reach); to <= Math.Min(_loop.Steps - 1, full[i] + reach); to++)
                if (!full.Contains(to))
                    yield return [.. full.Where((_, k) => k != i).Append(to).Order()];
        }
    }

    private void Run(int[] full)
    {
        if (_tried.ContainsKey(Key(full)))
            return;
        var error = _loop.Error(full, _cancellation);
        _tried[Key(full)] = new CachedScheduleInfo(_loop.Steps, full, error);
        _log?.Invoke(FormattableString.Invariant($"{Key(full)}: {error:g4}, by the model {_drift.Predict(full) / _loop.UncachedNorm:g4}"));
    }

    private static string Key(IEnumerable<int> full) => string.Join(' ', full);
}
