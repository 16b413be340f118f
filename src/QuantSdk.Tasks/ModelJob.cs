using System.Text.Json;
using System.Text.Json.Serialization;

namespace QuantSdk.Tasks;

/// <summary>What is to be done for one stale model. Written by <see cref="PrepareModel"/>, read by <see cref="RunModel"/> in QuantSdk.proj.</summary>
/// <param name="Request">The request as the tool gets it, but for the number of threads.</param>
/// <param name="Stamp">Absolute path of the stamp that marks this model with these options as built.</param>
/// <param name="Reads">Absolute paths of the files that the engine depends on.</param>
/// <param name="Inputs">Absolute path of the list of inputs that the run discovers.</param>
/// <param name="Result">Absolute path of what is written about the run.</param>
/// <param name="Files">Absolute paths of the files that were declared and must exist afterwards.</param>
internal sealed record ModelJob(ToolRequest Request, string Stamp, IReadOnlyList<string> Reads, string Inputs, string Result, IReadOnlyList<string> Files)
{
    public static ModelJob Read(string path) =>
        JsonSerializer.Deserialize(File.ReadAllBytes(path), JobJson.Default.ModelJob) ?? throw new JsonException("empty job file");

    public byte[] ToJson() => JsonSerializer.SerializeToUtf8Bytes(this, JobJson.Default.ModelJob);
}

/// <summary>The one line that the tool reads from its standard input.</summary>
internal sealed record ToolRequest(
    int Schema,
    string Name,
    string Model,
    string Item,
    string ProjectFile,
    string ProjectDirectory,
    string Output,
    string Report,
    int Threads,
    IReadOnlyDictionary<string, string> Metadata,
    ConditioningModel? ConditionedBy,
    StoreRequest? Store = null,
    TrtExecRequest? TrtExec = null)
{
    /// <summary>UTF-8, without a line break inside.</summary>
    public byte[] ToJsonLine() => [.. JsonSerializer.SerializeToUtf8Bytes(this, LineJson.Default.ToolRequest), (byte)'\n'];
}

/// <summary>The model whose outputs are another model's conditioning.</summary>
internal sealed record ConditioningModel(string Model, string Name);

/// <summary>The properties that say where results of earlier builds are kept; empty where they are not set. No engine depends on them.</summary>
internal sealed record StoreRequest(string Directory, string SharedDirectory, string Mode, string Limit);

/// <summary>What the build knows of trtexec; empty where it found or was told nothing.</summary>
/// <param name="Auto">What Targets=auto stands for.</param>
/// <param name="StateDirectory">Where its version is remembered, and what it says is kept.</param>
internal sealed record TrtExecRequest(string Path, string Auto, string Driver, string Parallelism, string StateDirectory);

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, WriteIndented = true)]
[JsonSerializable(typeof(ModelJob))]
internal sealed partial class JobJson : JsonSerializerContext;

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase)]
[JsonSerializable(typeof(ToolRequest))]
internal sealed partial class LineJson : JsonSerializerContext;
