using QuantSdk.Runtime;

namespace QuantSdk.Caching.Schedules;

/// <summary>
/// Finds the full steps that change the final samples least, and whether features are extrapolated between them. What is published is tried on a few rows, and the
/// best of it on all of them. From there on the first-order model of <see cref="DriftTable"/>, which costs no run of the engine, is searched; what it likes best is
/// run, and the runs correct it (<see cref="ScheduleModel"/>). In the end the best of those runs wins that are clearly better than every N on the typical row, too
/// (<see cref="PairedTest"/>): the search takes the least of many errors, and a few rows that happen to suit it must not outweigh the others.
/// </summary>
internal sealed class ScheduleSearch
{
    /// <summary>How far cached features follow the line through the last two full steps; 0: they stand still.</summary>
    private static readonly double[] s_extrapolations = [0, 1];

    /// <summary>Schedules that go on from a few rows to all of them, standing still and extrapolated.</summary>
    private const int Finalists = 2;

    private readonly TrialLoop _loop, _few;
    private readonly DriftTable _drift;
    private readonly Dictionary<string, Trial> _tried = new(StringComparer.Ordinal);
    private readonly Action<string>? _log;
    private readonly CancellationToken _cancellation;

    /// <summary>A schedule that was run.</summary>
    /// <param name="RowErrors">What each row adds to the square of the error.</param>
    public sealed record Trial(TrialSchedule Schedule, IReadOnlyList<double> RowErrors)
    {
        /// <summary>Relative L2 change of the samples.</summary>
        public double Error { get; } = Math.Sqrt(RowErrors.Sum());
    }

    /// <param name="fewRows">Rows that suffice to measure drift, and to tell bad schedules from good ones.</param>
    /// <param name="longestReuse">The most steps that features are reused.</param>
    /// <param name="log">Told what was tried.</param>
    public ScheduleSearch(TrialLoop loop, int fewRows, int longestReuse, Action<string>? log, CancellationToken cancellation)
    {
        (_loop, _few, _log, _cancellation) = (loop, loop.Take(fewRows), log, cancellation);
        _drift = _few.Drift(longestReuse, cancellation);
    }

    /// <summary>The best schedule of that many full steps.</summary>
    /// <param name="fullSteps">1 to the number of steps.</param>
    /// <param name="runs">The most schedules that are run on all rows; the best published ones are in any case.</param>
    /// <param name="published">The most quadratic schedules that are tried on a few rows.</param>
    public CachedScheduleInfo Best(int fullSteps, int runs = 24, int published = int.MaxValue)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(fullSteps, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(fullSteps, _loop.Steps);
        var even = ScheduleCandidates.Even(_loop.Steps, fullSteps);
        int[][] quadratic = [.. ScheduleCandidates.Quadratic(_loop.Steps, fullSteps).Select(q => q.Full).OrderBy(full => _drift.Predict(full)).Take(published)];
        var standing = Few([.. quadratic.Select(full => new TrialSchedule(full))]);
        int[][] starts = [even, .. new[] { _drift.Cheapest(fullSteps, 1), _drift.Cheapest(fullSteps, 2) }.OfType<int[]>(), .. standing.Take(2).Select(t => t.Schedule.Full.ToArray())];
        var moving = Few([.. s_extrapolations.Where(e => e > 0).SelectMany(e => starts.Select(full => new TrialSchedule(full, e)))]);
        foreach (var schedule in s_extrapolations.Select(e => new TrialSchedule(even, e)).Concat(standing.Concat(moving).GroupBy(t => t.Schedule.Extrapolation > 0).SelectMany(kind => kind.Take(Finalists)).Select(t => t.Schedule)))
            Run(schedule);
        // Runs correct the model, the model proposes what to run: what it likes best of all, and near what has run best.
        while (Tried(fullSteps).Count() < runs)
        {
            var models = s_extrapolations.ToDictionary(extrapolation => extrapolation, Model);
            double Score(TrialSchedule schedule) => models[schedule.Extrapolation].Score([.. schedule.Full]);
            var best = Tried(fullSteps).First().Schedule;
            var found = new Dictionary<string, (TrialSchedule Schedule, double Score)>(StringComparer.Ordinal);
            foreach (var start in Tried(fullSteps).Take(3).Select(t => t.Schedule).Concat(starts.SelectMany(full => s_extrapolations.Select(extrapolation => new TrialSchedule(full, extrapolation)))))
                Descend(start, Score, found);
            TrialSchedule?[] proposed =
            [
                found.Values.Where(f => IsNew(f.Schedule)).OrderBy(f => f.Score).Select(f => f.Schedule).FirstOrDefault(),
                Neighbours(best, reach: 2).Concat(s_extrapolations.Select(extrapolation => best with { Extrapolation = extrapolation })).Where(IsNew).MinBy(Score),
            ];
            if (proposed is [null, null])
                break;
            foreach (var schedule in proposed.OfType<TrialSchedule>())
                Run(schedule);
        }
        var plain = s_extrapolations.Select(extrapolation => _tried[new TrialSchedule(even, extrapolation).Key]).MinBy(t => t.Error)!;
        var winner = Tried(fullSteps).TakeWhile(t => t != plain).FirstOrDefault(t => PairedTest.IsClearlyLess(t.RowErrors, plain.RowErrors), plain);
        _log?.Invoke($"{winner.Schedule.Key}: {(winner == plain ? "nothing is clearly better" : "chosen")}");
        return new CachedScheduleInfo(_loop.Steps, winner.Schedule.Full, winner.Error, winner.Schedule.Extrapolation);
    }

    /// <summary>Every schedule run on all rows so far, the best first.</summary>
    public IEnumerable<Trial> Tried(int fullSteps) =>
        _tried.Values.Where(t => t.Schedule.Full.Count == fullSteps).OrderBy(t => t.Error).ThenBy(t => t.Schedule.Key, StringComparer.Ordinal);

    /// <summary>Schedules run on a few rows, the best first.</summary>
    private Trial[] Few(IReadOnlyList<TrialSchedule> schedules) =>
        [.. schedules.DistinctBy(s => s.Key).Select(s => new Trial(s, _few.RowErrors(s, _cancellation))).OrderBy(t => t.Error)];

    /// <summary>Walks to a schedule that no move of one full step makes better by the model.</summary>
    private void Descend(TrialSchedule start, Func<TrialSchedule, double> score, Dictionary<string, (TrialSchedule Schedule, double Score)> found)
    {
        for (var (current, least) = (start, score(start)); found.TryAdd(current.Key, (current, least));)
        {
            foreach (var neighbour in Neighbours(current, reach: _loop.Steps))
            {
                if (score(neighbour) is var better && better < least)
                    (current, least) = (neighbour, better);
            }
        }
    }

    /// <summary>The schedules with one full step moved.</summary>
    /// <param name="reach">By at most so many steps.</param>
    private IEnumerable<TrialSchedule> Neighbours(TrialSchedule schedule, int reach)
    {
        var full = schedule.Full;
        for (var i = 1; i < full.Count; i++)
        {
            for (var to = Math.Max(1, full[i] - reach); to <= Math.Min(_loop.Steps - 1, full[i] + reach); to++)
                if (!full.Contains(to))
                    yield return schedule with { Full = [.. full.Where((_, k) => k != i).Append(to).Order()] };
        }
    }

    private ScheduleModel Model(double extrapolation) =>
        new(_drift, [.. _tried.Values.Where(t => t.Schedule.Extrapolation == extrapolation).Select(t => ((int[])[.. t.Schedule.Full], t.Error * _loop.UncachedNorm))]);

    private bool IsNew(TrialSchedule schedule) => !_tried.ContainsKey(schedule.Key);

    private void Run(TrialSchedule schedule)
    {
        if (!IsNew(schedule))
            return;
        var trial = new Trial(schedule, _loop.RowErrors(schedule, _cancellation));
        _tried[schedule.Key] = trial;
        _log?.Invoke(FormattableString.Invariant($"{schedule.Key}: {trial.Error:f4}"));
    }
}
