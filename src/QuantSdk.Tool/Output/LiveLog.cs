using QuantSdk.Engines;
using Spectre.Console;

namespace QuantSdk.Tool.Output;

/// <summary>A row for each phase on a terminal.</summary>
internal sealed class LiveLog(string name, ProgressContext context) : IBuildLog
{
    private ProgressTask? _task;

    public void Phase(string phase)
    {
        if (_task is not null)
            _task.Value = _task.MaxValue;
        _task?.StopTask();
        _task = context.AddTask(Markup.Escape($"{name}: {phase}")).IsIndeterminate();
    }

    public void Progress(string phase, int done, int total)
    {
        if (_task is null || total <= 0)
            return;
        _task.IsIndeterminate = false;
        (_task.MaxValue, _task.Value) = (total, done);
    }

    public void Warning(string code, string message, string? file) => Terminal.Error.MarkupLineInterpolated($"[yellow]warning {code}[/]: {message}");

    public void Notice(string message) => Terminal.Error.MarkupLineInterpolated($"{message}");

    public void Detail(string message)
    {
    }
}
