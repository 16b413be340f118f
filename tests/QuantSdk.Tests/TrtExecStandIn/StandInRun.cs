using System.Globalization;

namespace QuantSdk.TrtExecStandIn;

/// <summary>One run of the stand-in.</summary>
/// <param name="End">Null where it did not come to its end.</param>
public sealed record StandInRun(int Process, DateTime Start, DateTime? End, IReadOnlyList<string> Arguments)
{
    /// <summary>Lines: begin PROCESS TICKS ARGUMENTS with tabs between, and end PROCESS TICKS.</summary>
    internal static IReadOnlyList<StandInRun> Read(IEnumerable<string> lines)
    {
        var runs = new List<StandInRun>();
        foreach (var words in lines.Select(l => l.Split('\t')))
        {
            var process = int.Parse(words[1], CultureInfo.InvariantCulture);
            var time = new DateTime(long.Parse(words[2], CultureInfo.InvariantCulture), DateTimeKind.Utc);
            if (words[0] == "begin")
                runs.Add(new StandInRun(process, time, null, words[3..]));
            else if (runs.FindLastIndex(r => r.Process == process) is >= 0 and var index)
                runs[index] = runs[index] with { End = time };
        }
        return runs;
    }
}
