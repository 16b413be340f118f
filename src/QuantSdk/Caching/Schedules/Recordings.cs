namespace QuantSdk.Caching.Schedules;

/// <summary>What loops have predicted, the last ones used: a schedule that begins like one of them need not run its beginning.</summary>
/// <param name="byteBudget">What they may take together.</param>
internal sealed class Recordings(long byteBudget)
{
    private readonly LinkedList<(TrialSchedule Schedule, IReadOnlyList<float[]> Predictions)> _recent = [];

    public void Add(TrialSchedule schedule, IReadOnlyList<float[]> predictions)
    {
        _recent.AddFirst((schedule, predictions));
        var bytes = 0L;
        for (var node = _recent.First; node is not null;)
        {
            var next = node.Next;
            if ((bytes += node.Value.Predictions.Sum(p => (long)p.Length) * sizeof(float)) > byteBudget)
                _recent.Remove(node);
            node = next;
        }
    }

    /// <summary>The predictions that go furthest, and the first step that they do not hold for.</summary>
    public (int Until, IReadOnlyList<float[]> Predictions) Longest(TrialSchedule schedule, int steps)
    {
        var (best, until) = ((LinkedListNode<(TrialSchedule Schedule, IReadOnlyList<float[]> Predictions)>?)null, 0);
        for (var node = _recent.First; node is not null; node = node.Next)
        {
            if (node.Value.Schedule.FirstDifference(schedule, steps) is var common && common > until)
                (best, until) = (node, common);
        }
        if (best is null)
            return (0, []);
        _recent.Remove(best);
        _recent.AddFirst(best);
        return (until, best.Value.Predictions);
    }
}
