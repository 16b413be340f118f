using System.Diagnostics;

namespace QuantSdk.Tasks;

/// <summary>One model's tool process and how far it has come. Lives from the first phase target of QuantSdk.proj to the last; MSBuild disposes of it at the end of the build.</summary>
internal sealed class ModelRun(ModelJob job, ToolProcess tool, DateTime startedUtc) : IDisposable
{
    private readonly OrderedDictionary<string, double> _seconds = [];
    private readonly long _started = Stopwatch.GetTimestamp();
    private long _since = Stopwatch.GetTimestamp();
    private string? _current;

    public ModelJob Job => job;

    public ToolProcess Tool => tool;

    /// <summary>When the work began: what changes later makes the result stale.</summary>
    public DateTime StartedUtc => startedUtc;

    /// <summary>The phase that the tool has announced last.</summary>
    public Phase Phase { get; private set; }

    /// <summary>How much of the phase is done, 0 to 100; null where the tool has not said.</summary>
    public int? Percent { get; set; }

    /// <summary>One line about the engine; null until the tool has ended well.</summary>
    public string? Summary => Answer is null ? null : Answer.Summary ?? Job.Request.Name;

    /// <summary>Files that the tool read beside those it was told of.</summary>
    public IReadOnlyList<string> DiscoveredInputs { get; set; } = [];

    /// <summary>The tool has reported an error with a code.</summary>
    public bool HasFailed { get; set; }

    /// <summary>The tool has ended well and its stamp is written.</summary>
    public bool IsFinished { get; set; }

    /// <summary>Warnings and errors so far.</summary>
    public List<ModelDiagnostic> Diagnostics { get; } = [];

    /// <summary>The answer that ended the run well.</summary>
    public ToolAnswer? Answer { get; set; }

    public TimeSpan Elapsed => Stopwatch.GetElapsedTime(_started);

    /// <summary>Wall time of each phase so far, in seconds and in order; `Start` is what went by before the first.</summary>
    public IReadOnlyDictionary<string, double> Seconds
    {
        get
        {
            CountTime();
            return _seconds;
        }
    }

    /// <summary>The tool begins a phase. What it repeats of an earlier one counts as the one that it is in.</summary>
    /// <returns>False where the run is in that phase or a later one.</returns>
    public bool Enter(Phase phase)
    {
        if (_current is not null && phase <= Phase) return false;
        CountTime();
        (Phase, Percent, _current) = (phase, null, phase.ToString());
        return true;
    }

    /// <summary>How the run went.</summary>
    public ModelResult Result() => new(
        !IsFinished ? ModelResult.Failed : Answer?.Hit == true ? ModelResult.FromStore : ModelResult.Built,
        Answer?.Key, Math.Round(Elapsed.TotalSeconds, 3), Seconds.ToDictionary(s => s.Key, s => Math.Round(s.Value, 3)), Answer?.Stages, Summary, Diagnostics);

    private void CountTime()
    {
        var name = _current ?? "Start";
        _seconds[name] = _seconds.GetValueOrDefault(name) + Stopwatch.GetElapsedTime(_since).TotalSeconds;
        _since = Stopwatch.GetTimestamp();
    }

    public void Dispose() => tool.Dispose();
}
