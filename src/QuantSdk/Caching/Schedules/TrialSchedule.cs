using System.Globalization;
using QuantSdk.Runtime;

namespace QuantSdk.Caching.Schedules;

/// <summary>A schedule that a search tries.</summary>
/// <param name="Full">The indices of full steps, ascending; the first is 0.</param>
/// <param name="Extrapolation">See <see cref="CachedScheduleInfo.Extrapolation"/>.</param>
internal sealed record TrialSchedule(IReadOnlyList<int> Full, double Extrapolation = 0)
{
    /// <summary>Equal for equal schedules; for people, too.</summary>
    public string Key => string.Join(' ', Full) + (Extrapolation > 0 ? string.Create(CultureInfo.InvariantCulture, $" extrapolated {Extrapolation}") : "");

    public CachePlan Plan(int steps) => CachePlan.Of(CacheSchedule.Explicit(Full).Extrapolated(Extrapolation), steps, null);

    /// <summary>The full steps whose features a step reads: none if it is full itself, else the last one, and the one before where it extrapolates.</summary>
    public IReadOnlyList<int> Sources(int step)
    {
        var earlier = Full.TakeWhile(full => full <= step).ToArray();
        return earlier[^1] == step ? [] : Extrapolation > 0 ? earlier[^Math.Min(2, earlier.Length)..] : [earlier[^1]];
    }

    /// <summary>The first step that does not compute the same as in another schedule; the number of steps if there is none.</summary>
    public int FirstDifference(TrialSchedule other, int steps)
    {
        for (var step = 0; step < steps; step++)
        {
            var (own, others) = (Sources(step), other.Sources(step));
            if (!own.SequenceEqual(others) || own.Count == 2 && Extrapolation != other.Extrapolation)
                return step;
        }
        return steps;
    }
}
