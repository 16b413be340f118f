using System.Diagnostics;

namespace QuantSdk.Bench;

/// <summary>
/// Times variants in turn, round after round, so that a noisy neighbour hits all of them alike. What is compared is the median of each
/// variant over all rounds; the first round is not counted. A pause before each run lets the idle workers of the session that ran before
/// stop spinning: they would otherwise take a core from the one that is timed.
/// </summary>
internal static class Interleaved
{
    private static readonly TimeSpan s_pause = TimeSpan.FromMilliseconds(5);

    /// <summary>Milliseconds of every counted round, by variant.</summary>
    public static double[][] Rounds(int rounds, params Action[] variants)
    {
        var times = variants.Select(_ => new double[rounds]).ToArray();
        for (var round = -1; round < rounds; round++)
        {
            for (var v = 0; v < variants.Length; v++)
            {
                Thread.Sleep(s_pause);
                var started = Stopwatch.GetTimestamp();
                variants[v]();
                if (round >= 0)
                    times[v][round] = Stopwatch.GetElapsedTime(started).TotalMilliseconds;
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
