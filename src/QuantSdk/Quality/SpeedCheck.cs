using System.Diagnostics;
using QuantSdk.Calibration;
using QuantSdk.Runtime;

namespace QuantSdk.Quality;

/// <summary>Times two engines in turns, so that whatever else the machine does happens to both.</summary>
internal static class SpeedCheck
{
    private const int WarmUps = 3, LeastPairs = 15, MostPairs = 201;

    private static readonly TimeSpan Enough = TimeSpan.FromSeconds(3);

    /// <param name="reference">The float model as ONNX Runtime runs it by itself.</param>
    /// <param name="engine">The engine as an app loads it.</param>
    /// <param name="model">The model's file, for messages.</param>
    public static Speedup Measure(ModelSession reference, ModelSession engine, string model, CancellationToken cancellation)
    {
        var feed = CalibrationInputs.RandomRow(reference.Inputs, model);
        using var slow = new RowRunner(reference, feed.Rows);
        using var fast = new RowRunner(engine, feed.Rows);
        for (var i = 0; i < WarmUps; i++)
            _ = (Seconds(slow), Seconds(fast));
        var ratios = new List<double>();
        for (var started = Stopwatch.GetTimestamp(); ratios.Count < LeastPairs || (ratios.Count < MostPairs && Stopwatch.GetElapsedTime(started) < Enough);)
        {
            // Who goes first takes turns as well.
            var (first, second) = ratios.Count % 2 == 0 ? (slow, fast) : (fast, slow);
            var (one, other) = (Seconds(first), Seconds(second));
            ratios.Add(ratios.Count % 2 == 0 ? one / other : other / one);
        }
        return Of(ratios);

        double Seconds(RowRunner runner)
        {
            var start = Stopwatch.GetTimestamp();
            runner.Run(feed, null, null, (_, _, _) => { }, cancellation);
            return Stopwatch.GetElapsedTime(start).TotalSeconds;
        }
    }

    /// <summary>The median, and between which order statistics it is to 95 %: n/2 ± 1.96·√n/2.</summary>
    internal static Speedup Of(IEnumerable<double> ratios)
    {
        double[] sorted = [.. ratios.Order()];
        var reach = (int)Math.Ceiling(1.96 * Math.Sqrt(sorted.Length) / 2);
        var middle = sorted.Length / 2;
        var median = sorted.Length % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
        return new Speedup(median, sorted[Math.Max(0, (sorted.Length - 1) / 2 - reach)], sorted[Math.Min(sorted.Length - 1, middle + reach)], sorted.Length);
    }
}
