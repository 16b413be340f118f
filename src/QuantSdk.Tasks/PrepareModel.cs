using Microsoft.Build.Framework;
using Microsoft.Build.Utilities;

namespace QuantSdk.Tasks;

/// <summary>Writes the job file of one stale model, from which QuantSdk.proj builds it.</summary>
[MSBuildMultiThreadableTask]
public sealed class PrepareModel : Microsoft.Build.Utilities.Task, IMultiThreadableTask
{
    // The metadata that are lists of files or patterns; MSBuild has expanded them into Inputs.
    private static readonly string[] s_fileLists = ["CalibrationData", "ValidationData", "Plugins"];

    /// <summary>The environment of the project; given by MSBuild.</summary>
    public TaskEnvironment TaskEnvironment { get; set; } = TaskEnvironment.Fallback;

    /// <summary>The QuantizedModel item, with `QuantSdkName` and `QuantSdkStamp`.</summary>
    [Required]
    public ITaskItem Model { get; set; } = null!;

    /// <summary>Every other file that the engine depends on; `QuantSdkRole` is the metadata that names it.</summary>
    public ITaskItem[] Inputs { get; set; } = [];

    /// <summary>The declared engine files, and the stamp.</summary>
    [Required]
    public ITaskItem[] Outputs { get; set; } = [];

    /// <summary>The folder of all engine folders.</summary>
    [Required]
    public string EngineDirectory { get; set; } = "";

    /// <summary>The folder of stamps and jobs.</summary>
    [Required]
    public string StateDirectory { get; set; } = "";

    /// <summary>The project that declares the model.</summary>
    [Required]
    public string ProjectFile { get; set; } = "";

    /// <summary>The property QuantSdkStoreDirectory.</summary>
    public string StoreDirectory { get; set; } = "";

    /// <summary>The property QuantSdkSharedStoreDirectory.</summary>
    public string SharedStoreDirectory { get; set; } = "";

    /// <summary>The property QuantSdkStoreMode.</summary>
    public string StoreMode { get; set; } = "";

    /// <summary>The property QuantSdkStoreLimit.</summary>
    public string StoreLimit { get; set; } = "";

    /// <summary>trtexec as DECLARE found it; empty: not at all.</summary>
    public string TrtExec { get; set; } = "";

    /// <summary>What Targets=auto stands for, as DECLARE has it.</summary>
    public string AutoTargets { get; set; } = "";

    /// <summary>The property QuantSdkNvidiaDriver.</summary>
    public string NvidiaDriver { get; set; } = "";

    /// <summary>The property QuantSdkTrtExecParallelism.</summary>
    public string TrtExecParallelism { get; set; } = "";

    /// <summary>One item, `AdditionalProperties` of which tell QuantSdk.proj which job to do.</summary>
    [Output]
    public ITaskItem? Job { get; set; }

    /// <inheritdoc />
    public override bool Execute()
    {
        var name = Model.GetMetadata("QuantSdkName");
        var projectDirectory = Path.GetDirectoryName(ProjectFile)!;
        if (ReadMetadata(projectDirectory) is not { } metadata) return false;

        var conditioning = Inputs.FirstOrDefault(i => Role(i) == "ConditionedBy");
        var stamp = Model.GetMetadata("QuantSdkStamp");
        var job = new ModelJob(
            new ToolRequest(
                Schema: 1,
                name,
                Model: Absolute(Model.ItemSpec),
                Item: Model.ItemSpec,
                ProjectFile,
                projectDirectory,
                Output: Path.Combine(EngineDirectory, name),
                Report: Path.Combine(StateDirectory, name + ".report.json"),
                Threads: 0,
                metadata,
                conditioning is null ? null : new ConditioningModel(Absolute(conditioning.ItemSpec), conditioning.GetMetadata("QuantSdkConditioningName")),
                new StoreRequest(StoreDirectory, SharedStoreDirectory, StoreMode, StoreLimit),
                new TrtExecRequest(TrtExec, AutoTargets, NvidiaDriver, TrtExecParallelism, StateDirectory)),
            stamp,
            Reads: [.. Inputs.Select(i => i.ItemSpec).Prepend(Model.ItemSpec).Select(Absolute)],
            Inputs: Path.Combine(StateDirectory, name + ".inputs"),
            Result: Path.Combine(StateDirectory, name + ".result.json"),
            [.. Outputs.Select(o => o.ItemSpec).Where(o => o != stamp)]);

        var file = Path.Combine(StateDirectory, name + ".job");
        try
        {
            AtomicFile.Write(file, job.ToJson());
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            Error(DiagnosticCode.StateNotWritable, $"{name}: '{file}' cannot be written: {e.Message} Free the disk or correct the permissions of the obj folder.");
            return false;
        }
        Job = new TaskItem(name);
        Job.SetMetadata("AdditionalProperties", "QuantSdkModelName=" + name);
        return true;
    }

    // Named as in the recipe; only MSBuild needs Targets, because it reserves Target.
    private SortedDictionary<string, string>? ReadMetadata(string projectDirectory)
    {
        var metadata = new SortedDictionary<string, string>(StringComparer.Ordinal);
        foreach (var key in ItemMetadata.NamesOf(Model))
        {
            var value = Model.GetMetadata(key);
            if (s_fileLists.Contains(key))
            {
                if (ExpandFiles(key, value, projectDirectory) is not { } files) return null;
                value = files;
            }
            metadata.Add(key, value);
        }
        return metadata;
    }

    // Relative to the project where possible: the list is joined by `;`, which the project's folder may have in its name.
    private string? ExpandFiles(string key, string value, string projectDirectory)
    {
        var expanded = Inputs.Where(i => Role(i) == key).Select(i => RelativeTo(projectDirectory, i.ItemSpec)).ToList();
        if (expanded.Find(f => f.Contains(';', StringComparison.Ordinal)) is { } separated)
        {
            Error(DiagnosticCode.SeparatorInPath, $"{Model.ItemSpec}: the path '{separated}' in {key} contains ';', which separates files. Rename the file or its folder.");
            return null;
        }
        var words = value.Split(';', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries).Where(w => w == "random");
        var files = string.Join(';', words.Concat(expanded));
        if (files.Length > 0) return files;
        Error(DiagnosticCode.PatternMatchesNothing, $"{Model.ItemSpec}: no file matches {key} '{value}' (relative to '{projectDirectory}'). Correct the pattern or create the files.");
        return null;
    }

    private static string RelativeTo(string directory, string path)
    {
        if (!Path.IsPathRooted(path)) return path;
        var relative = Path.GetRelativePath(directory, path);
        return relative.StartsWith("..", StringComparison.Ordinal) ? path : relative;
    }

    private static string Role(ITaskItem input) => input.GetMetadata("QuantSdkRole");

    private string Absolute(string path) => Path.GetFullPath(path, Path.GetDirectoryName(ProjectFile)!);

    private void Error(string code, string message) => Log.LogError(null, code, null, ProjectFile, 0, 0, 0, 0, message);
}
