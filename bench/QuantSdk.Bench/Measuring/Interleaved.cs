using System.Diagnostics;

namespace QuantSdk.Bench;

/// <summary>
/// Times variants in turn, round after round, so that a noisy neighbour hits all of them alike. What is compared is the median of each
/// variant over all rounds; the first round is not counted.
/// </summary>
internal static class Interleaved
{
    /// <summary>
    /// How long the idle workers of an ONNX Runtime session go on spinning, and take a core from the session that runs next (measured:
    /// 20 to 30 ms lost). Longer runs need not care.
    /// </summary>
    public static TimeSpan Spinning { get; } = TimeSpan.FromMilliseconds(80);

    private static readonly TimeSpan Least = TimeSpan.FromMilliseconds(60);

    /// <summary>Milliseconds of every counted round, by variant.</summary>
    /// <param name="settle">Each timed run follows untimed ones of the same variant for this long, as a step of a loop follows another.</param>
    public static double[][] Rounds(int rounds, TimeSpan settle, params Action[] variants)
    {
        var times = variants.Select(_ => new double[rounds]).ToArray();
        for (var round = -1; round < rounds; round++)
        {
            for (var v = 0; v < variants.Length; v++)
            {
                var settled = 0;
                var settling = Stopwatch.GetTimestamp();
                for (; Stopwatch.GetElapsedTime(settling) < settle; settled++)
                    variants[v]();
                // What takes less than this is timed several times over, or the clock and a single late thread would decide.
                var once = Stopwatch.GetElapsedTime(settling) / Math.Max(1, settled);
                var repeats = settled == 0 ? 1 : (int)Math.Clamp(Least / once, 1, 1000);
                var started = Stopwatch.GetTimestamp();
                for (var i = 0; i < repeats; i++)
                    variants[v]();
                if (round >= 0)
                    times[v][round] = Stopwatch.GetElapsedTime(started).TotalMilliseconds / repeats;
            }
        }
        return times;
    }

    public static double Median(IEnumerable<double> values)
    {
        var sorted = values.Order().ToArray();
        return (sorted[sorted.Length / 2] + sorted[(sorted.Length - 1) / 2]) / 2;
    }
}
