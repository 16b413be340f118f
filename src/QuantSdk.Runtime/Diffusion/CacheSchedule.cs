using System.Globalization;

namespace QuantSdk.Runtime;

/// <summary>
/// Which steps of a diffusion run execute the whole model; the others execute its live part on the features of the last full step.
/// The first step of every run is full. Immutable; one schedule serves any number of steps and runs.
/// </summary>
public sealed class CacheSchedule
{
    private readonly Func<int, CacheInfo?, IEnumerable<int>> _fullSteps;
    private readonly string _text;

    private readonly Func<int, CacheInfo?, double> _extrapolation;

    private CacheSchedule(string text, Func<int, CacheInfo?, IEnumerable<int>> fullSteps, Func<int, CacheInfo?, double>? extrapolation = null) =>
        (_text, _fullSteps, _extrapolation) = (text, fullSteps, extrapolation ?? ((_, _) => 0));

    /// <summary>Full at steps 0, N, 2N, … (DeepCache, 2312.00858). 1 caches nothing.</summary>
    /// <param name="interval">N, 1 or more.</param>
    /// <exception cref="QuantSdkException">QSDK7050: the interval is smaller than 1.</exception>
    public static CacheSchedule Every(int interval)
    {
        if (interval < 1)
            throw Impossible($"every {interval} steps; the interval is 1 or more.");
        return new($"every {interval}", (steps, _) => Enumerable.Range(0, (steps + interval - 1) / interval).Select(i => i * interval));
    }

    /// <summary>
    /// Full steps that are dense around a centre (DeepCache, appendix; <c>sample_from_quad_center</c>): lⁱ evenly spaced between
    /// (−c)^(1/p) and (T − c)^(1/p), full at ⌊Re lᵖ⌋ + c, rounded towards zero. As there, the power is lowered in steps of 0.02 until the full steps are distinct.
    /// </summary>
    /// <param name="fullSteps">The number of full steps, 1 or more.</param>
    /// <param name="center">c, the densest step, 0 or more and less than the number of steps.</param>
    /// <param name="power">p, more than 1; nearer to 1 is more even.</param>
    /// <exception cref="QuantSdkException">QSDK7050: a parameter is out of range; so does a run whose number of steps the schedule does not fit.</exception>
    public static CacheSchedule Quadratic(int fullSteps, double center, double power)
    {
        var text = string.Create(CultureInfo.InvariantCulture, $"quadratic {fullSteps} (center {center}, power {power})");
        if (fullSteps < 1 || !(center >= 0) || !double.IsFinite(center) || !(power > 1) || !double.IsFinite(power))
            throw Impossible($"{text}; full steps are 1 or more, the center is 0 or more, the power more than 1.");
        return new(text, (steps, _) => QuadraticSteps(steps, fullSteps, center, power)
            ?? throw Impossible($"{text} does not give {fullSteps} different steps of {steps}. Use fewer full steps, a center below {steps} or a larger power."));
    }

    /// <summary>Full at the listed steps and at the first one.</summary>
    /// <param name="fullSteps">Indices from 0; those beyond the end of a run are ignored.</param>
    /// <exception cref="QuantSdkException">QSDK7050: an index is negative.</exception>
    public static CacheSchedule Explicit(params IEnumerable<int> fullSteps)
    {
        ArgumentNullException.ThrowIfNull(fullSteps);
        int[] list = [.. fullSteps.Append(0).Distinct().Order()];
        if (list[0] < 0)
            throw Impossible($"the step {list[0]} is listed; steps count from 0.");
        return new($"at {string.Join(' ', list)}", (steps, _) => list.Where(step => step < steps));
    }

    /// <summary>
    /// The steps that MagCache (2506.09045) would run, worked out beforehand: its decision looks at no data. A step is skipped while the error
    /// Σ |1 − Πγ| since the last full step stays within the threshold.
    /// </summary>
    /// <param name="ratios">γ of every step: the length of its residual over that of the step before. For another number of steps the nearest ones are taken.</param>
    /// <param name="threshold">The largest accumulated error, more than 0.</param>
    /// <param name="longestSkip">The largest number of steps skipped in a row, 0 or more.</param>
    /// <param name="retention">The share of steps at the beginning that are never skipped, 0 to 1.</param>
    /// <exception cref="QuantSdkException">QSDK7050: a parameter is out of range.</exception>
    public static CacheSchedule MagCache(IEnumerable<double> ratios, double threshold = 0.06, int longestSkip = 3, double retention = 0.2)
    {
        ArgumentNullException.ThrowIfNull(ratios);
        double[] gammas = [.. ratios];
        var text = string.Create(CultureInfo.InvariantCulture, $"MagCache (threshold {threshold}, at most {longestSkip} in a row, retention {retention})");
        if (gammas.Length == 0 || !gammas.All(double.IsFinite) || !(threshold > 0) || longestSkip < 0 || !(retention is >= 0 and <= 1))
            throw Impossible($"{text} with {gammas.Length} ratios; at least one ratio, all finite, a threshold above 0, a skip of 0 or more and a retention from 0 to 1 are expected.");
        return new(text, (steps, _) => MagCacheSteps(steps, gammas, threshold, longestSkip, retention));
    }

    /// <summary>
    /// The schedule that the build searched on this model's own trajectories (<see cref="CacheInfo.Schedules"/>): the one whose interval is
    /// nearest, for the nearest number of steps; stretched where the run has another number. It extrapolates where the build found that to be better.
    /// </summary>
    /// <param name="interval">The wanted number of steps per full step, 1 or more.</param>
    /// <exception cref="QuantSdkException">QSDK7050: the interval is smaller than 1. A run of a model without such schedules throws QSDK7051.</exception>
    public static CacheSchedule Built(double interval = 3)
    {
        if (!(interval >= 1) || !double.IsFinite(interval))
            throw Impossible(string.Create(CultureInfo.InvariantCulture, $"a built schedule with an interval of {interval}; it is 1 or more."));
        return new(string.Create(CultureInfo.InvariantCulture, $"built {interval}"), (steps, built) => BuiltSteps(steps, interval, built), (steps, built) => Nearest(steps, interval, built).Extrapolation);
    }

    /// <summary>
    /// The same steps, with cached features on the line through the last two full steps (TaylorSeer, 2503.06923, order 1), or on the way to it:
    /// F + s·(F − F′)·k/N, k steps after the full step of F, which came N steps after that of F′. Takes memory for two more copies of the features.
    /// </summary>
    /// <param name="strength">s, from 0 (features stand still) to 1 (they follow the line).</param>
    /// <exception cref="QuantSdkException">QSDK7050: the strength is out of range.</exception>
    public CacheSchedule Extrapolated(double strength = 1)
    {
        if (!(strength is >= 0 and <= 1))
            throw Impossible(string.Create(CultureInfo.InvariantCulture, $"{_text}, extrapolated with a strength of {strength}; it is 0 to 1."));
        var text = strength switch { 0 => ", not extrapolated", 1 => ", extrapolated", _ => string.Create(CultureInfo.InvariantCulture, $", extrapolated by {strength}") };
        return new(_text + text, _fullSteps, (_, _) => strength);
    }

    /// <summary>The full steps of a run, ascending, the first one 0.</summary>
    /// <param name="steps">The number of steps, 1 or more.</param>
    /// <exception cref="QuantSdkException">QSDK7050: the schedule does not fit that number; QSDK7051: a built schedule is that of a model, not of itself.</exception>
    public IReadOnlyList<int> FullSteps(int steps) => FullSteps(steps, built: null);

    /// <summary>Whether a step is full.</summary>
    /// <param name="step">The step, from 0.</param>
    /// <param name="steps">The number of steps.</param>
    /// <exception cref="QuantSdkException">As for <see cref="FullSteps(int)"/>.</exception>
    public bool IsFull(int step, int steps) => FullSteps(steps).Contains(step);

    /// <summary>What the schedule is, for people.</summary>
    public override string ToString() => _text;

    /// <summary>s of <see cref="Extrapolated"/>.</summary>
    internal double Extrapolation(int steps, CacheInfo? built) => _extrapolation(steps, built);

    internal IReadOnlyList<int> FullSteps(int steps, CacheInfo? built)
    {
        if (steps < 1)
            throw Impossible($"{_text} over {steps} steps; at least one is needed.");
        return [.. _fullSteps(steps, built)];
    }

    private static int[]? QuadraticSteps(int steps, int fullSteps, double center, double power)
    {
        if (center >= steps)
            return null;
        for (var p = power; p > 1; p -= 0.02)
        {
            // (−c)^(1/p) = A·e^{iπ/p}: the line from there to B runs through the complex plane, and of its p-th power the real part counts.
            double a = Math.Pow(center, 1 / p), b = Math.Pow(steps - center, 1 / p);
            var values = new SortedSet<int>();
            for (var i = 0; i <= fullSteps; i++)
            {
                var share = (double)i / fullSteps;
                var (re, im) = (a * Math.Cos(Math.PI / p) * (1 - share) + b * share, a * Math.Sin(Math.PI / p) * (1 - share));
                values.Add((int)(Math.Pow(double.Hypot(re, im), p) * Math.Cos(p * Math.Atan2(im, re))));
            }
            // The ends are the first step and one past the last.
            int[] list = [0, .. values.Skip(1).SkipLast(1).Select(value => (int)Math.Round(value + center))];
            if (list.Length == fullSteps && list.Zip(list.Skip(1)).All(pair => pair.First < pair.Second))
                return list;
        }
        return null;
    }

    private static IEnumerable<int> MagCacheSteps(int steps, double[] gammas, double threshold, int longestSkip, double retention)
    {
        var (ratio, error, skipped) = (1.0, 0.0, 0);
        for (var step = 0; step < steps; step++)
        {
            var nearest = steps == 1 ? 0 : (int)Math.Round((double)step * (gammas.Length - 1) / (steps - 1));
            ratio *= gammas[nearest];
            error += Math.Abs(1 - ratio);
            skipped++;
            if (step > 0 && step >= retention * steps && error <= threshold && skipped <= longestSkip)
                continue;
            (ratio, error, skipped) = (1, 0, 0);
            yield return step;
        }
    }

    private static IEnumerable<int> BuiltSteps(int steps, double interval, CacheInfo? built)
    {
        var schedule = Nearest(steps, interval, built);
        return schedule.Full.Select(step => (int)((long)step * steps / schedule.Steps)).Distinct();
    }

    private static CachedScheduleInfo Nearest(int steps, double interval, CacheInfo? built)
    {
        if (built is null or { Schedules.Count: 0 })
            throw new QuantSdkException("QSDK7051", "The model was built without searched schedules. Build it with Cache and a Scheduler, or use CacheSchedule.Every.");
        return built.Schedules
            .OrderBy(s => Math.Abs(Math.Log((double)s.Steps / s.Full.Count / interval)))
            .ThenBy(s => Math.Abs(Math.Log((double)s.Steps / steps)))
            .First();
    }

    private static QuantSdkException Impossible(string message) => new("QSDK7050", "The cache schedule cannot be laid out: " + message);
}
