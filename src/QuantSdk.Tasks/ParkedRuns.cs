using System.Collections.Concurrent;
using Microsoft.Build.Framework;

namespace QuantSdk.Tasks;

/// <summary>
/// Runs between two phase targets. MSBuild has a place for such objects, but with threads for nodes (`-mt`) it is emptied whenever one of them shuts down, that of a restore
/// in the middle of the build that follows: so the runs are kept here, and what MSBuild keeps only tells of a build that has ended between two phases.
/// </summary>
internal static class ParkedRuns
{
    /// <summary>How long after MSBuild's sign a run may still be taken up again.</summary>
    private static readonly TimeSpan s_grace = TimeSpan.FromSeconds(5);

    private static readonly ConcurrentDictionary<string, ModelRun> s_runs = new(StringComparer.Ordinal);

    /// <param name="job">Path of the job file.</param>
    public static void Park(string job, ModelRun run, IBuildEngine4 engine)
    {
        s_runs[job] = run;
        engine.RegisterTaskObject(Key(job), new EndOfBuild(job, run), RegisteredTaskObjectLifetime.Build, allowEarlyCollection: false);
    }

    /// <summary>The run, which is then the caller's to dispose of; null where there is none.</summary>
    public static ModelRun? Take(string job, IBuildEngine4 engine)
    {
        engine.UnregisterTaskObject(Key(job), RegisteredTaskObjectLifetime.Build);
        return s_runs.TryRemove(job, out var run) ? run : null;
    }

    private static string Key(string job) => "QuantSdk.Tasks.ModelRun|" + job;

    private sealed class EndOfBuild(string job, ModelRun run) : IDisposable
    {
        // MSBuild does not wait: where it exits, the tool sees its input close.
        public void Dispose() => _ = Task.Delay(s_grace).ContinueWith(_ =>
        {
            if (s_runs.TryRemove(KeyValuePair.Create(job, run))) run.Dispose();
        }, TaskScheduler.Default);
    }
}
