using System.ComponentModel;
using System.Globalization;
using System.Text;
using System.Text.Json;
using Microsoft.Build.Framework;

namespace QuantSdk.Tasks;

/// <summary>Follows the tool through one phase of one model. The first phase starts the process, the last waits for its end; in between it is kept by the build engine.</summary>
[MSBuildMultiThreadableTask]
public sealed class RunModel : Microsoft.Build.Utilities.Task, ICancelableTask, IMultiThreadableTask
{
    private const int SignalBase = 128;
    private readonly CancellationTokenSource _cancellation = new();

    /// <summary>The environment of the project; given by MSBuild.</summary>
    public TaskEnvironment TaskEnvironment { get; set; } = TaskEnvironment.Fallback;

    /// <summary>The job file that <see cref="PrepareModel"/> wrote.</summary>
    [Required]
    public string Job { get; set; } = "";

    /// <summary>The tool, started by `dotnet exec`.</summary>
    [Required]
    public string ToolAssembly { get; set; } = "";

    /// <summary>The phase to wait for the end of: Calibrate, Quantize, BuildEngine or Verify.</summary>
    [Required]
    public string Phase { get; set; } = "";

    /// <summary>The name that stands before the arrow of the last line; the model's own where empty.</summary>
    public string DisplayName { get; set; } = "";

    /// <summary>A line of high importance is written every so many seconds, for logs that nobody watches.</summary>
    public int HeartbeatSeconds { get; set; } = 60;

    /// <summary>quiet, normal or detailed.</summary>
    public string Verbosity { get; set; } = "normal";

    private Verbosity Loudness => Enum.Parse<Verbosity>(Verbosity, ignoreCase: true);

    /// <summary>Only signals: MSBuild may call this more than once, and waits for it.</summary>
    public void Cancel() => _cancellation.Cancel();

    /// <inheritdoc />
    public override bool Execute()
    {
        var phase = Enum.Parse<Phase>(Phase);
        ModelRun? run = null;
        var keep = false;
        try
        {
            var threads = RequestThreads();
            var parked = ParkedRuns.Take(Job, BuildEngine4);
            if (phase == Tasks.Phase.Calibrate)
            {
                // Left by a build that was cancelled a moment ago.
                parked?.Dispose();
                run = Start(threads);
            }
            else
            {
                run = parked;
                if (run is null && !_cancellation.IsCancellationRequested)
                    Error(null, DiagnosticCode.RunLost, $"{Path.GetFileNameWithoutExtension(Job)}: the quantisation tool was stopped before phase {Phase}, because MSBuild ended its build. Build again; if it happens again, report it.");
            }
            if (run is null) return false;
            var succeeded = Follow(run, phase);
            if (!succeeded || phase == Tasks.Phase.Verify) AtomicFile.Write(run.Job.Result, run.Result().ToJson());
            if (succeeded && phase == Tasks.Phase.Verify) LogSummary(run);
            keep = succeeded && phase != Tasks.Phase.Verify;
            return succeeded;
        }
        catch (OperationCanceledException)
        {
            return false;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            Error(run, DiagnosticCode.StateNotWritable, $"{Path.GetFileNameWithoutExtension(Job)}: {e.Message} Free the disk or correct the permissions of the obj folder.");
            return false;
        }
        finally
        {
            if (keep) ParkedRuns.Park(Job, run!, BuildEngine4);
            else run?.Dispose();
        }
    }

    // The cores are given back when Execute returns, so every phase asks; the first answer holds for the tool.
    private int RequestThreads()
    {
        try
        {
            return BuildEngine9.RequestCores(Environment.ProcessorCount);
        }
        catch (NotImplementedException)
        {
            return Environment.ProcessorCount;
        }
    }

    private ModelRun? Start(int threads)
    {
        var job = ModelJob.Read(TaskEnvironment.GetAbsolutePath(Job));
        var request = job.Request with { Threads = threads };
        Stamps.DeleteAll(job.Stamp);
        File.Delete(job.Result);
        Log.LogMessage(Loudness.Of(MessageImportance.Normal), $"{request.Name}: {request.Item}, {string.Join(", ", request.Metadata.Select(m => $"{m.Key}={m.Value}"))}");

        var start = TaskEnvironment.GetProcessStartInfo();
        start.FileName = TaskEnvironment.GetEnvironmentVariable("DOTNET_HOST_PATH") ?? Environment.ProcessPath ?? "dotnet";
        start.WorkingDirectory = request.ProjectDirectory;
        start.ArgumentList.Add("exec");
        start.ArgumentList.Add(TaskEnvironment.GetAbsolutePath(ToolAssembly));
        start.ArgumentList.Add("serve");
        try
        {
            var started = DateTime.UtcNow;
            return new ModelRun(job, ToolProcess.Start(start, request.ToJsonLine()), started);
        }
        catch (Win32Exception e)
        {
            Log.LogError(null, DiagnosticCode.ToolNotStarted, null, request.ProjectFile, 0, 0, 0, 0, $"{request.Name}: '{start.FileName}' cannot be started: {e.Message} Set DOTNET_HOST_PATH to the dotnet executable of a .NET SDK.");
            return null;
        }
    }

    private bool Follow(ModelRun run, Phase phase)
    {
        while (!run.IsFinished && run.Phase <= phase)
        {
            if (!WaitForLine(run)) return Finish(run);
            while (run.Phase <= phase && run.Tool.Lines.TryRead(out var line))
                if (!Accept(run, line)) return false;
        }
        return true;
    }

    private bool WaitForLine(ModelRun run)
    {
        var ready = run.Tool.Lines.WaitToReadAsync(_cancellation.Token).AsTask();
        while (!ready.Wait(TimeSpan.FromSeconds(HeartbeatSeconds), _cancellation.Token))
            Log.LogMessage(Loudness.Of(MessageImportance.High), Heartbeat(run));
        return ready.GetAwaiter().GetResult();
    }

    private bool Accept(ModelRun run, ToolLine line)
    {
        if (line.IsTooLong) return Refuse(run, DiagnosticCode.LineTooLong, $"wrote a line of more than {ToolProcess.MaximumLineBytes} bytes");
        if (line.IsError) run.Tool.RememberErrorLine(line.Text);
        if (line.IsError || !line.Text.StartsWith('{'))
        {
            // Free text: libraries inside the tool may print.
            if (line.Text.Length > 0) Log.LogMessage(Loudness.Of(MessageImportance.Low), line.Text);
            return true;
        }
        try
        {
            new AnswerLog(Log, run, Loudness).Accept(ToolAnswer.Parse(line.Text));
            return true;
        }
        catch (JsonException e)
        {
            return Refuse(run, DiagnosticCode.MalformedAnswer, $"wrote a line that is no answer ({e.Message}): {Shorten(line.Text)}");
        }
    }

    private bool Refuse(ModelRun run, string code, string what)
    {
        Error(run, code, $"{run.Job.Request.Name}: the quantisation tool {what}. The property QuantSdkToolAssembly names '{ToolAssembly}'; if that is the tool of this version, report this.");
        return false;
    }

    private bool Finish(ModelRun run)
    {
        var exitCode = run.Tool.WaitForExit();
        if (_cancellation.IsCancellationRequested || run.HasFailed) return false;
        var name = run.Job.Request.Name;
        var lastLines = run.Tool.LastErrorLines.Count == 0 ? "" : " Its last lines: " + string.Join(Environment.NewLine, run.Tool.LastErrorLines);
        if (exitCode > SignalBase && exitCode != SignalBase + 2)
        {
            Error(run, DiagnosticCode.ToolDied, $"{name}: the quantisation tool was ended by signal {exitCode - SignalBase} in phase {run.Phase}. If something ran out of memory or killed it, build again; else report this.{lastLines}");
            return false;
        }
        if (exitCode != 0 || run.Summary is null)
        {
            Error(run, DiagnosticCode.ToolEndedUnexpectedly, $"{name}: the quantisation tool ended with exit code {exitCode} in phase {run.Phase} and without a result.{lastLines}");
            return false;
        }
        if (run.Job.Files.FirstOrDefault(f => !File.Exists(f)) is { } missing)
        {
            Error(run, DiagnosticCode.FileNotWritten, $"{name}: the quantisation tool reported success, but '{missing}' does not exist. Use the tool and the targets of one version of QuantSdk.");
            return false;
        }
        WriteDiscoveredInputs(run);
        Stamps.Write(run.Job.Stamp, run.StartedUtc);
        run.IsFinished = true;
        return true;
    }

    // In the form that QuantSdk.Produce.targets reads back into items: it has to undo one level of escaping to see the separators.
    private static void WriteDiscoveredInputs(ModelRun run)
    {
        string[] discovered = [.. run.DiscoveredInputs.Union(run.Job.Reads.Concat(run.DiscoveredInputs).Select(TargetOf).OfType<string>())];
        if (discovered.Length == 0) File.Delete(run.Job.Inputs);
        else AtomicFile.Write(run.Job.Inputs, Encoding.UTF8.GetBytes(string.Join(";\n", discovered.Select(f => EscapedPath.Escape(EscapedPath.Escape(f))))));
    }

    // MSBuild looks at the time of a link, not of the file that it leads to.
    private static string? TargetOf(string path) => File.ResolveLinkTarget(path, returnFinalTarget: true)?.FullName;

    private void LogSummary(ModelRun run)
    {
        var own = run.Job.Request.Name + " -> ";
        var summary = run.Summary!;
        if (DisplayName.Length > 0 && summary.StartsWith(own, StringComparison.Ordinal)) summary = DisplayName + " -> " + summary[own.Length..];
        Log.LogMessage(Loudness.Of(MessageImportance.High), summary);
        Log.LogMessage(Loudness.Of(MessageImportance.Normal), $"{run.Job.Request.Name}: {string.Join(", ", run.Seconds.Select(s => string.Create(CultureInfo.InvariantCulture, $"{s.Key} {s.Value:0.00} s")))}");
    }

    private static string Heartbeat(ModelRun run)
    {
        var percent = run.Percent is { } p ? $", {p} %" : "";
        return $"{run.Job.Request.Name}: {run.Phase}{percent}, {Duration(run.Elapsed)}";
    }

    private static string Duration(TimeSpan elapsed) => elapsed.TotalMinutes < 1 ? $"{elapsed.TotalSeconds:0} s" : $"{elapsed.TotalMinutes:0} min";

    private static string Shorten(string text) => text.Length <= 200 ? text : text[..200] + "…";

    private void Error(ModelRun? run, string code, string message)
    {
        var file = run?.Job.Request.ProjectFile;
        Log.LogError(null, code, null, file, 0, 0, 0, 0, message);
        run?.Diagnostics.Add(new ModelDiagnostic("error", code, file!, message));
    }
}
