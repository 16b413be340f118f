using Microsoft.Build.Logging.StructuredLogger;
using BuildTask = Microsoft.Build.Logging.StructuredLogger.Task;

namespace QuantSdk.Build.Tests;

/// <summary>What a build did, by its binary log.</summary>
internal sealed class BuildLog
{
    private BuildLog(bool succeeded, IReadOnlyList<string> modelsBuilt, IReadOnlyList<string> tasks, IReadOnlyList<Diagnostic> errors, IReadOnlyList<Diagnostic> warnings, IReadOnlyList<string> messages)
    {
        (Succeeded, ModelsBuilt, Tasks, Errors, Warnings, Messages) = (succeeded, modelsBuilt, tasks, errors, warnings, messages);
    }

    public bool Succeeded { get; }

    /// <summary>Names of the models for which a tool was started, sorted.</summary>
    public IReadOnlyList<string> ModelsBuilt { get; }

    /// <summary>Every task that ran, as PROJECT/TARGET/TASK.</summary>
    public IReadOnlyList<string> Tasks { get; }

    public IReadOnlyList<Diagnostic> Errors { get; }

    public IReadOnlyList<Diagnostic> Warnings { get; }

    public IReadOnlyList<string> Messages { get; }

    public IEnumerable<string> ErrorCodes => Errors.Select(e => e.Code).Distinct();

    public static BuildLog Read(string path)
    {
        var build = BinaryLog.ReadBuild(path);
        var built = new List<string>();
        var tasks = new List<string>();
        var errors = new List<Diagnostic>();
        var warnings = new List<Diagnostic>();
        var messages = new List<string>();
        build.VisitAllChildren<BuildTask>(task =>
        {
            var project = task.GetNearestParent<Project>();
            var target = task.GetNearestParent<Target>()?.Name;
            tasks.Add($"{Path.GetFileName(project?.ProjectFile)}/{target}/{task.Name}");
            if (task.Name == "RunModel" && target == "Calibrate") built.Add(project!.GlobalProperties["QuantSdkModelName"]);
        });
        build.VisitAllChildren<Error>(e => errors.Add(new Diagnostic(e.Code, e.File, e.Text)));
        build.VisitAllChildren<Warning>(w => warnings.Add(new Diagnostic(w.Code, w.File, w.Text)));
        build.VisitAllChildren<Message>(m => messages.Add(m.Text));
        return new BuildLog(build.Succeeded, [.. built.Order(StringComparer.Ordinal)], tasks, errors, warnings, messages);
    }
}

internal sealed record Diagnostic(string Code, string File, string Text);
