namespace QuantSdk.Tasks;

/// <summary>One model's tool process and how far it has come. Lives from the first phase target of QuantSdk.proj to the last; MSBuild disposes of it at the end of the build.</summary>
internal sealed class ModelRun(ModelJob job, ToolProcess tool, DateTime startedUtc) : IDisposable
{
    public ModelJob Job => job;

    public ToolProcess Tool => tool;

    /// <summary>When the work began: what changes later makes the result stale.</summary>
    public DateTime StartedUtc => startedUtc;

    /// <summary>The phase that the tool has announced last.</summary>
    public Phase Phase { get; set; }

    /// <summary>How much of the phase is done, 0 to 100; null where the tool has not said.</summary>
    public int? Percent { get; set; }

    public string? Summary { get; set; }

    /// <summary>Files that the tool read beside those it was told of.</summary>
    public IReadOnlyList<string> DiscoveredInputs { get; set; } = [];

    /// <summary>The tool has reported an error with a code.</summary>
    public bool HasFailed { get; set; }

    /// <summary>The tool has ended well and its stamp is written.</summary>
    public bool IsFinished { get; set; }

    public TimeSpan Elapsed => DateTime.UtcNow - startedUtc;

    public void Dispose() => tool.Dispose();
}
