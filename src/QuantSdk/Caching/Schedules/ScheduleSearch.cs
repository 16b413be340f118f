using QuantSdk.Runtime;

namespace QuantSdk.Caching.Schedules;

/// <summary>
/// Finds the full steps that change the final samples least. The first-order model of <see cref="DriftTable"/> is searched from the published schedules and from
/// its cheapest ones by dynamic programming, which costs no run of the engine; what it likes best is run, the runs correct it (<see cref="ScheduleModel"/>), and in the
/// end the best run wins.
/// </summary>
internal sealed class ScheduleSearch
{
    private readonly TrialLoop _loop;
    private readonly DriftTable _drift;
    private readonly Dictionary<string, CachedScheduleInfo> _tried = new(StringComparer.Ordinal);
    private readonly Action<string>? _log;
    private readonly CancellationToken _cancellation;

    /// <param name="longestReuse">The most steps that features are reused.</param>
    /// <param name="log">Told what was tried.</param>
    public ScheduleSearch(TrialLoop loop, int longestReuse, Action<string>? log, CancellationToken cancellation)
    {
        (_loop, _log, _cancellation) = (loop, log, cancellation);
        _drift = loop.Drift(longestReuse, cancellation);
    }

    /// <summary>The best schedule of that many full steps.</summary>
    /// <param name="fullSteps">1 to the number of steps.</param>
    /// <param name="runs">The most schedules that are run, 6 or more.</param>
    public CachedScheduleInfo Best(int fullSteps, int runs = 24)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(fullSteps, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(fullSteps, _loop.Steps);
        var even = ScheduleCandidates.Even(_loop.Steps, fullSteps);
        int[][] quadratic = [.. ScheduleCandidates.Quadratic(_loop.Steps, fullSteps).Select(q => q.Full)];
        var model = Model();
        Run(even, model);
        foreach (var full in quadratic.OrderBy(full => _drift.Predict(full)).Take(3))
            Run(full, model);
        int[][] starts = [even, .. new[] { _drift.Cheapest(fullSteps, 1), _drift.Cheapest(fullSteps, 2) }.OfType<int[]>(), .. quadratic.OrderBy(full => _drift.Predict(full)).Take(2)];
        // Runs correct the model, the model proposes what to run: what it likes best of all, and near what has run best.
        while (Tried(fullSteps).Count() < runs)
        {
            model = Model();
            var found = new Dictionary<string, (int[] Full, double Score)>(StringComparer.Ordinal);
            foreach (var start in starts.Concat(Tried(fullSteps).Take(2).Select(t => t.Full.ToArray())))
                Descend(start, model, found);
            int[]?[] proposed =
            [
                found.Values.Where(f => IsNew(f.Full)).OrderBy(f => f.Score).Select(f => f.Full).FirstOrDefault(),
                Neighbours([.. Tried(fullSteps).First().Full], reach: 2).Where(IsNew).MinBy(model.Score),
            ];
            if (proposed is [null, null])
                break;
            foreach (var full in proposed.OfType<int[]>())
                Run(full, model);
        }
        return Tried(fullSteps).First();
    }

    /// <summary>Every schedule run so far, the best first.</summary>
    public IEnumerable<CachedScheduleInfo> Tried(int fullSteps) => _tried.Values.Where(s => s.Full.Count == fullSteps).OrderBy(s => s.Error).ThenBy(s => Key(s.Full), StringComparer.Ordinal);

    /// <summary>Walks to a schedule that no move of one full step makes better by the model.</summary>
    private void Descend(int[] start, ScheduleModel model, Dictionary<string, (int[] Full, double Score)> found)
    {
        for (var (current, score) = (start, model.Score(start)); found.TryAdd(Key(current), (current, score));)
        {
            foreach (var neighbour in Neighbours(current, reach: _loop.Steps))
            {
                if (model.Score(neighbour) is var better && better < score)
                    (current, score) = (neighbour, better);
            }
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

    private ScheduleModel Model() => new(_drift, [.. _tried.Values.Select(t => ((int[])[.. t.Full], t.Error * _loop.UncachedNorm))]);

    private bool IsNew(int[] full) => !_tried.ContainsKey(Key(full));

    private void Run(int[] full, ScheduleModel model)
    {
        if (!IsNew(full))
            return;
        var error = _loop.Error(full, _cancellation);
        _tried[Key(full)] = new CachedScheduleInfo(_loop.Steps, full, error);
        _log?.Invoke(FormattableString.Invariant($"{Key(full)}: {error:f4}, predicted {Math.Exp(model.Expected(full)) / _loop.UncachedNorm:f4}"));
    }

    private static string Key(IEnumerable<int> full) => string.Join(' ', full);
}
