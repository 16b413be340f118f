using System.Diagnostics;
using System.Text.Json;
using Microsoft.Build.Framework;

namespace QuantSdk.Tasks;

/// <summary>Writes what the build did with a project's models into the report, and the diagnostics as SARIF beside it. Projects of one solution may share the file.</summary>
[MSBuildMultiThreadableTask]
public sealed class WriteBuildReport : Microsoft.Build.Utilities.Task, IMultiThreadableTask
{
    private static readonly string[] s_gates = ["MinSqnr", "MinCosine", "MinSpeedup", "MaxSize", "OnGateFailure"];
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(30);

    /// <summary>The environment of the project; given by MSBuild.</summary>
    public TaskEnvironment TaskEnvironment { get; set; } = TaskEnvironment.Fallback;

    /// <summary>The models, with `QuantSdkName`.</summary>
    [Required]
    public ITaskItem[] Models { get; set; } = [];

    /// <summary>Names of those that were out of date.</summary>
    public string[] Stale { get; set; } = [];

    /// <summary>The folder of the results of runs.</summary>
    [Required]
    public string StateDirectory { get; set; } = "";

    /// <summary>The report, *.json; relative to the project.</summary>
    [Required]
    public string ReportFile { get; set; } = "";

    /// <summary>The project that declares the models.</summary>
    [Required]
    public string ProjectFile { get; set; } = "";

    /// <summary>The framework that the project is built for.</summary>
    public string TargetFramework { get; set; } = "";

    /// <summary>Where the build was started: the SARIF file's paths are relative to it.</summary>
    public string Root { get; set; } = "";

    /// <inheritdoc />
    public override bool Execute()
    {
        string report = TaskEnvironment.GetAbsolutePath(ReportFile);
        try
        {
            Directory.CreateDirectory(Path.GetDirectoryName(report)!);
            using var turn = Turn(report + ".lock");
            var all = BuildReport.Read(report).With(ProjectFile, TargetFramework, Models.Select(Describe));
            AtomicFile.Write(report, all.ToJson());
            AtomicFile.Write(Path.ChangeExtension(report, ".sarif"), SarifLog.Of(all, typeof(WriteBuildReport).Assembly.GetName().Version!.ToString(3), Root));
            return true;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            Log.LogError(null, DiagnosticCode.ReportNotWritten, null, ProjectFile, 0, 0, 0, 0, $"The report '{report}' cannot be written: {e.Message} Correct the property QuantSdkBinaryReport, free the disk or correct the permissions.");
            return false;
        }
    }

    private ReportedModel Describe(ITaskItem model)
    {
        var name = model.GetMetadata("QuantSdkName");
        var run = ModelResult.Read(Path.Combine(StateDirectory, name + ".result.json"));
        var outcome = !Stale.Contains(name) ? "upToDate" : run?.Outcome ?? ModelResult.Failed;
        var measured = run is null or { Outcome: ModelResult.Failed } ? null : Measured(Path.Combine(StateDirectory, name + ".report.json"));
        return new ReportedModel(
            ProjectFile, TargetFramework, name, model.ItemSpec, outcome, run,
            new SortedDictionary<string, string>(s_gates.Where(g => model.GetMetadata(g).Length > 0).ToDictionary(g => g, model.GetMetadata), StringComparer.Ordinal),
            Member(measured, "quality"), Member(measured, "floatBytes"), Member(measured, "engineBytes"));
    }

    private static JsonElement? Measured(string report)
    {
        try
        {
            using var document = JsonDocument.Parse(File.ReadAllBytes(report));
            return document.RootElement.Clone();
        }
        catch (Exception e) when (e is FileNotFoundException or JsonException)
        {
            return null;
        }
    }

    private static JsonElement? Member(JsonElement? report, string name) =>
        report is { ValueKind: JsonValueKind.Object } o && o.TryGetProperty(name, out var value) ? value : null;

    // Projects are built by several processes at once.
    private static FileStream Turn(string path)
    {
        var started = Stopwatch.GetTimestamp();
        while (true)
        {
            try
            {
                return new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None, 1, FileOptions.DeleteOnClose);
            }
            catch (IOException) when (Stopwatch.GetElapsedTime(started) < s_patience)
            {
                Thread.Sleep(20);
            }
        }
    }
}
