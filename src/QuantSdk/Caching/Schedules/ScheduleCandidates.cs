using QuantSdk.Runtime;

namespace QuantSdk.Caching.Schedules;

/// <summary>The published schedules of a number of full steps.</summary>
internal static class ScheduleCandidates
{
    /// <summary>Spread evenly, ⌊i·T/k⌋: where k divides T or T/k rounds up to N, every N steps.</summary>
    public static int[] Even(int steps, int fullSteps)
    {
        // Every N has ⌈T/N⌉ full steps: the smallest N that has no more than asked for, if it has as many.
        var interval = (steps + fullSteps - 1) / fullSteps;
        int[] every = [.. CacheSchedule.Every(interval).FullSteps(steps)];
        return every.Length == fullSteps ? every : [.. Enumerable.Range(0, fullSteps).Select(i => (int)((long)i * steps / fullSteps))];
    }

    /// <summary>DeepCache's quadratic schedules over a grid: centers at twelfths of the run, powers from 1.1 to 2. Each once.</summary>
    public static IReadOnlyList<(double Center, double Power, int[] Full)> Quadratic(int steps, int fullSteps)
    {
        double[] powers = [1.1, 1.2, 1.3, 1.4, 1.5, 1.7, 2];
        var found = new Dictionary<string, (double, double, int[])>(StringComparer.Ordinal);
        for (var twelfth = 0; twelfth < 12; twelfth++)
        {
            foreach (var power in powers)
            {
                double center = twelfth * steps / 12;
                try
                {
                    int[] full = [.. CacheSchedule.Quadratic(fullSteps, center, power).FullSteps(steps)];
                    found.TryAdd(string.Join(' ', full), (center, power, full));
                }
                catch (QuantSdkException e) when (e.Code == "QSDK7050")
                {
                    // This center and power do not give so many different steps.
                }
            }
        }
        return [.. found.Values];
    }
}
