namespace QuantSdk.Runtime;

/// <summary>A <see cref="CacheSchedule"/> laid out for one run.</summary>
/// <param name="Full">Whether each step is full. A sampler that evaluates twice a step caches both times or neither.</param>
/// <param name="Extrapolate">Whether cached features follow the line through the last two full steps.</param>
internal sealed record CachePlan(IReadOnlyList<bool> Full, bool Extrapolate)
{
    /// <summary>How far they follow it, above 0 to 1.</summary>
    public float Strength { get; init; } = 1;

    public static CachePlan Of(CacheSchedule schedule, int steps, CacheInfo? built)
    {
        var full = new bool[steps];
        foreach (var step in schedule.FullSteps(steps, built))
            full[step] = true;
        return schedule.Extrapolation(steps, built) is > 0 and var strength ? new CachePlan(full, true) { Strength = (float)strength } : new CachePlan(full, false);
    }
}
