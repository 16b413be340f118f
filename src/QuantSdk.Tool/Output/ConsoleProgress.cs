using QuantSdk.Engines;
using Spectre.Console;

namespace QuantSdk.Tool.Output;

/// <summary>Shows on standard error how far a command is: live where that is a terminal, a line each minute where it is not.</summary>
internal static class ConsoleProgress
{
    /// <param name="name">The model's name, or null for work too short to be watched.</param>
    public static T Run<T>(string? name, Func<IBuildLog, T> work)
    {
        if (name is null)
            return work(new HeartbeatLog("", null));
        if (Terminal.IsLive)
        {
            return Terminal.Error.Progress().AutoClear(true).HideCompleted(false)
                .Columns(new TaskDescriptionColumn(), new ProgressBarColumn(), new PercentageColumn(), new ElapsedTimeColumn())
                .Start(context => work(new LiveLog(name, context)));
        }
        using var heartbeat = new HeartbeatLog(name, TimeSpan.FromMinutes(1));
        return work(heartbeat);
    }
}
