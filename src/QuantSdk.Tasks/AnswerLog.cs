using Microsoft.Build.Framework;
using Microsoft.Build.Utilities;

namespace QuantSdk.Tasks;

/// <summary>Turns the tool's answers into build messages and into the state of the run.</summary>
internal sealed class AnswerLog(TaskLoggingHelper log, ModelRun run, Verbosity verbosity)
{
    private const int PercentStep = 10;

    public void Accept(ToolAnswer answer)
    {
        switch (answer.T)
        {
            case "phase":
                // A phase of a newer tool is no phase of ours.
                if (Enum.TryParse<Phase>(answer.Phase, out var phase) && run.Enter(phase)) log.LogMessage(verbosity.Of(MessageImportance.Low), $"{run.Job.Request.Name}: {phase}");
                break;
            case "progress":
                Progress(answer);
                break;
            case "warning":
                log.LogWarning(null, answer.Code, null, FileOf(answer), 0, 0, 0, 0, MessageOf(answer));
                Remember("warning", answer);
                break;
            case "error":
                run.HasFailed = true;
                log.LogError(null, answer.Code, null, FileOf(answer), 0, 0, 0, 0, MessageOf(answer));
                Remember("error", answer);
                break;
            case "message":
                log.LogMessage(verbosity.Of(ImportanceOf(answer)), answer.Text ?? "");
                break;
            case "inputs":
                run.DiscoveredInputs = answer.Files ?? [];
                break;
            case "done":
                run.Answer = answer;
                break;
        }
    }

    private void Progress(ToolAnswer answer)
    {
        if (answer.Total <= 0) return;
        var percent = (int)Math.Clamp(100 * answer.Done / answer.Total, 0, 100);
        if (run.Percent is null || percent / PercentStep != run.Percent / PercentStep)
            log.LogMessage(verbosity.Of(MessageImportance.Normal), $"{run.Job.Request.Name}: {answer.Phase} {percent} %");
        run.Percent = percent;
    }

    private void Remember(string level, ToolAnswer answer) => run.Diagnostics.Add(new ModelDiagnostic(level, answer.Code ?? "", FileOf(answer), MessageOf(answer)));

    // The project's file where the tool names none: every diagnostic leads somewhere.
    private string FileOf(ToolAnswer answer) => Path.IsPathFullyQualified(answer.File ?? "") ? answer.File! : run.Job.Request.ProjectFile;

    private static string MessageOf(ToolAnswer answer)
    {
        var message = answer.Message ?? "";
        return answer.Node is { Length: > 0 } node && !message.Contains(node, StringComparison.Ordinal) ? $"{message} (node '{node}')" : message;
    }

    private static MessageImportance ImportanceOf(ToolAnswer answer) => answer.Importance switch
    {
        "high" => MessageImportance.High,
        "normal" => MessageImportance.Normal,
        _ => MessageImportance.Low,
    };
}
