using System.ComponentModel;
using System.Text;
using System.Text.Json;
using Microsoft.Build.Framework;

namespace QuantSdk.Tasks;

/// <summary>Runs `quantsdk triton` over engine folders and says what it wrote.</summary>
[MSBuildMultiThreadableTask]
public sealed class WriteTritonRepository : Microsoft.Build.Utilities.Task, ICancelableTask, IMultiThreadableTask
{
    private readonly CancellationTokenSource _cancellation = new();

    /// <summary>The environment of the project; given by MSBuild.</summary>
    public TaskEnvironment TaskEnvironment { get; set; } = TaskEnvironment.Fallback;

    /// <summary>Folders of engines.</summary>
    [Required]
    public string[] Engines { get; set; } = [];

    /// <summary>The model repository.</summary>
    [Required]
    public string Repository { get; set; } = "";

    /// <summary>The tool, started by `dotnet exec`.</summary>
    [Required]
    public string ToolAssembly { get; set; } = "";

    /// <summary>The project, for messages.</summary>
    [Required]
    public string ProjectFile { get; set; } = "";

    /// <summary>Options of the command by name; empty values are left out.</summary>
    public ITaskItem[] Options { get; set; } = [];

    /// <summary>Only signals.</summary>
    public void Cancel() => _cancellation.Cancel();

    /// <inheritdoc />
    public override bool Execute()
    {
        var start = TaskEnvironment.GetProcessStartInfo();
        start.FileName = TaskEnvironment.GetEnvironmentVariable("DOTNET_HOST_PATH") ?? Environment.ProcessPath ?? "dotnet";
        start.ArgumentList.Add("exec");
        start.ArgumentList.Add(TaskEnvironment.GetAbsolutePath(ToolAssembly));
        start.ArgumentList.Add("triton");
        foreach (var engine in Engines)
            start.ArgumentList.Add(TaskEnvironment.GetAbsolutePath(engine));
        start.ArgumentList.Add("--output=" + (string)TaskEnvironment.GetAbsolutePath(Repository));
        foreach (var option in Options.Where(o => o.GetMetadata("Value").Length > 0))
            start.ArgumentList.Add($"--{option.ItemSpec}={option.GetMetadata("Value")}");
        start.ArgumentList.Add("--json");
        try
        {
            using var tool = ToolProcess.Start(start, []);
            var (output, tooLong) = Read(tool);
            var exitCode = _cancellation.IsCancellationRequested ? -1 : tool.WaitForExit();
            return !_cancellation.IsCancellationRequested && Report(output, tooLong, exitCode, tool);
        }
        catch (Win32Exception e)
        {
            Error(DiagnosticCode.ToolNotStarted, ProjectFile, $"'{start.FileName}' cannot be started: {e.Message} Set DOTNET_HOST_PATH to the dotnet executable of a .NET SDK.");
            return false;
        }
    }

    private (string Output, bool TooLong) Read(ToolProcess tool)
    {
        var output = new StringBuilder();
        var tooLong = false;
        try
        {
            while (tool.Lines.WaitToReadAsync(_cancellation.Token).AsTask().GetAwaiter().GetResult())
            {
                while (tool.Lines.TryRead(out var line))
                {
                    tooLong |= line.IsTooLong;
                    if (line.IsError) tool.RememberErrorLine(line.Text);
                    else output.AppendLine(line.Text);
                }
            }
        }
        catch (OperationCanceledException)
        {
            tool.Stop();
        }
        return (output.ToString(), tooLong);
    }

    private bool Report(string output, bool tooLong, int exitCode, ToolProcess tool)
    {
        try
        {
            using var document = JsonDocument.Parse(tooLong ? "" : output);
            if (document.RootElement.TryGetProperty("error", out var error))
            {
                Error(error.GetProperty("code").GetString()!, error.GetProperty("file").GetString() ?? ProjectFile, error.GetProperty("message").GetString()!);
                return false;
            }
            foreach (var model in document.RootElement.GetProperty("models").EnumerateArray())
            {
                var rows = model.GetProperty("maxBatchSize").GetInt32();
                Log.LogMessage(MessageImportance.High, $"{model.GetProperty("name").GetString()} -> {Repository} ({model.GetProperty("platform").GetString()}{(rows > 0 ? $", requests joined up to {rows} rows" : "")})");
                foreach (var note in model.GetProperty("notes").EnumerateArray())
                    Log.LogMessage(MessageImportance.Normal, $"{model.GetProperty("name").GetString()}: {note.GetString()}");
            }
            return true;
        }
        catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException)
        {
            Error(DiagnosticCode.ToolEndedUnexpectedly, ProjectFile, $"The quantisation tool ended with exit code {exitCode} and without a result.{(tool.LastErrorLines.Count == 0 ? "" : " Its last lines: " + string.Join(Environment.NewLine, tool.LastErrorLines))}");
            return false;
        }
    }

    private void Error(string code, string file, string message) => Log.LogError(null, code, null, file, 0, 0, 0, 0, message);
}
