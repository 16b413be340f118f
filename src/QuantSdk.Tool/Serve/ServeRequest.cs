using System.Globalization;
using System.Text.Json;
using QuantSdk.Engines;
using QuantSdk.Engines.TensorRt;
using QuantSdk.Runtime;
using QuantSdk.Store;

namespace QuantSdk.Tool.Serve;

/// <summary>The line that a build sends: one model and what its item says of it.</summary>
/// <param name="Item">The Include of the item, for messages.</param>
internal sealed record ServeRequest(
    int Schema, string? Name, string? Model, string? Item, string? ProjectFile, string? ProjectDirectory, string? Output, string? Report, int Threads,
    IReadOnlyDictionary<string, string>? Metadata, ConditioningModel? ConditionedBy, StoreRequest? Store = null, TrtExecRequest? TrtExec = null)
{
    /// <summary>The version of the protocol that this tool speaks.</summary>
    public const int CurrentSchema = 1;

    /// <exception cref="QuantSdkException">QSDK9002: the line is no request of this protocol.</exception>
    public static BuildRequest Parse(ReadOnlySpan<byte> line)
    {
        ServeRequest request;
        try
        {
            request = JsonSerializer.Deserialize(line, ServeJson.Lines.ServeRequest) ?? throw new JsonException("it is null");
        }
        catch (JsonException e)
        {
            throw Malformed($"is not the JSON that is expected ({e.Message.TrimEnd('.')})", e);
        }
        if (request.Schema != CurrentSchema)
            throw Malformed($"has schema {request.Schema}, this tool speaks {CurrentSchema}; the targets and the tool are of different versions");
        var conditionedBy = request.ConditionedBy is null ? null : Path(request.ConditionedBy.Model, "conditionedBy.model");
        return new BuildRequest(
            request.Name is { Length: > 0 } name ? name : throw Malformed("has no 'name'"),
            Path(request.Model, "model"), Path(request.ProjectDirectory, "projectDirectory"), Path(request.Output, "output"),
            request.Report is null ? null : Path(request.Report, "report"),
            request.Threads > 0 ? request.Threads : Environment.ProcessorCount,
            request.Metadata ?? throw Malformed("has no 'metadata'"), conditionedBy,
            StoreSettings.Parse(request.Store?.Directory, request.Store?.SharedDirectory, request.Store?.Mode, request.Store?.Limit, request.ProjectDirectory!),
            request.TrtExec?.Settings(), request.TrtExec?.Auto?.Split(';', StringSplitOptions.RemoveEmptyEntries));
    }

    public static QuantSdkException Malformed(string why, Exception? inner = null) =>
        new("QSDK9002", $"The request on standard input {why}. `quantsdk serve` is driven by the build; by hand use `quantsdk build`.", inner: inner);

    private static string Path(string? path, string member) =>
        System.IO.Path.IsPathFullyQualified(path ?? "") ? path! : throw Malformed($"has no absolute path in '{member}'");
}

/// <summary>The model whose outputs are another model's conditioning.</summary>
internal sealed record ConditioningModel(string? Model, string? Name);

/// <summary>The store's properties as the project has them; what is empty is taken from the environment, then the default.</summary>
/// <param name="Limit">Gigabytes.</param>
internal sealed record StoreRequest(string? Directory, string? SharedDirectory, string? Mode, string? Limit);

/// <summary>What the build knows of trtexec; empty where it found or was told nothing.</summary>
/// <param name="Auto">What Targets=auto stands for.</param>
/// <param name="StateDirectory">Where its version is remembered, and what it says is kept.</param>
internal sealed record TrtExecRequest(string? Path, string? Auto, string? Driver, string? Parallelism, string? StateDirectory)
{
    /// <exception cref="QuantSdkException">QSDK1908: a number of trtexec that is not allowed.</exception>
    public TrtExecSettings Settings()
    {
        int? parallelism = null;
        if (!string.IsNullOrWhiteSpace(Parallelism))
            parallelism = int.TryParse(Parallelism, NumberStyles.None, CultureInfo.InvariantCulture, out var n) && n is >= 1 and <= 64 ? n : throw new QuantSdkException("QSDK1908", $"QuantSdkTrtExecParallelism='{Parallelism}' is not a whole number from 1 to 64.");
        return new TrtExecSettings(Given(Path), Given(StateDirectory) is { } folder ? System.IO.Path.Combine(folder, ".trtexec.json") : null, Given(Driver), parallelism, Given(StateDirectory));
    }

    private static string? Given(string? text) => string.IsNullOrWhiteSpace(text) ? null : text;
}
