namespace QuantSdk.Runtime;

/// <summary>A <see cref="CacheSchedule"/> laid out for one run.</summary>
/// <param name="Steps">The step that each evaluation of the model belongs to: a sampler that evaluates twice a step caches both times or neither.</param>
/// <param name="Full">Whether each step is full.</param>
/// <param name="Extrapolate">Whether cached features follow the line through the last two full steps.</param>
internal sealed record CachePlan(IReadOnlyList<int> Steps, IReadOnlyList<bool> Full, bool Extrapolate)
{
    public static CachePlan Of(CacheSchedule schedule, IReadOnlyList<int> steps, CacheInfo? built)
    {
        var full = new bool[steps[^1] + 1];
        foreach (var step in schedule.FullSteps(full.Length, built))
            full[step] = true;
        return new CachePlan(steps, full, schedule.Extrapolate);
    }
}
