using System.CommandLine;
using QuantSdk.Engines;
using QuantSdk.Runtime;
using QuantSdk.Serving;
using QuantSdk.Tool.Output;
using Spectre.Console;

namespace QuantSdk.Tool.Commands;

/// <summary>A model repository that was written.</summary>
internal sealed record TritonResult(string Repository, IReadOnlyList<TritonModel> Models);

internal sealed class TritonCommand : StageCommand<TritonResult>
{
    private readonly Argument<string[]> _engines = new("ENGINE") { Description = "Folders of engines, such as models/unet. Several of one name: plans of one model for several GPUs.", Arity = ArgumentArity.OneOrMore };
    private readonly Option<string> _output = new("--output", "-o") { Description = "The model repository. Models and versions that are in it and not named stay.", Required = true, HelpName = "FOLDER" };
    private readonly Option<string?> _variant = new("--variant") { Description = $"What is served: {string.Join(", ", ServedEngine.Targets)}. Default: the first of these that the engine has." };
    private readonly Option<int> _version = new("--model-version") { Description = "The number of the version folder.", DefaultValueFactory = _ => 1, HelpName = "N" };
    private readonly Option<int?> _batch = new("--max-batch-size") { Description = "The most rows that requests are joined to; 0: none. Default: what the plan allows, else 8, where everything begins with the batch.", HelpName = "ROWS" };
    private readonly Option<int> _delay = new("--max-queue-delay") { Description = "Microseconds that a request waits for others to be joined with.", HelpName = "MICROSECONDS" };
    private readonly Option<int> _instances = new("--instances") { Description = "Instances of each model on each GPU.", DefaultValueFactory = _ => 1, HelpName = "N" };
    private readonly Option<string?> _gpus = new("--gpus") { Description = "Indices of the GPUs that serve, separated by commas. Default: all.", HelpName = "LIST" };

    public TritonCommand()
        : base("triton", "Writes a model repository for the Triton Inference Server from engine folders.", """

            A cached model becomes two, NAME and NAME_live. The plan's TensorRT must be the server's.

            Examples:
              quantsdk triton models/unet models/vae_decoder --output repository
              quantsdk triton sm89/unet sm90/unet --output repository --instances 2
              quantsdk triton models/classifier --variant cpu --max-batch-size 32 --max-queue-delay 500 -o repository
            """, ToolJson.Readable.TritonResult)
    {
        Add(_engines);
        foreach (var option in (Option[])[_output, _variant, _version, _batch, _delay, _instances, _gpus])
            Add(option);
    }

    protected override string? OutputOf(ParseResult parse) => parse.GetValue(_output);

    protected override TritonResult Execute(ParseResult parse, IBuildLog log, CancellationToken cancellation)
    {
        var repository = Path.GetFullPath(parse.GetRequiredValue(_output));
        var options = new TritonOptions
        {
            Variant = parse.GetValue(_variant)?.Trim().ToLowerInvariant() is { Length: > 0 } variant ? Among(variant) : null,
            ModelVersion = AtLeast(1, parse.GetValue(_version), _version),
            MaxBatchSize = parse.GetValue(_batch) is { } batch ? AtLeast(0, batch, _batch) : null,
            QueueDelay = AtLeast(0, parse.GetValue(_delay), _delay),
            Instances = AtLeast(1, parse.GetValue(_instances), _instances),
            Gpus = [.. (parse.GetValue(_gpus) ?? "").Split([',', ';'], StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries).Select(Gpu)],
        };
        return new TritonResult(repository, TritonRepository.Write(parse.GetRequiredValue(_engines), repository, options, cancellation));
    }

    protected override void Print(TritonResult result, IAnsiConsole console)
    {
        Terminal.Table(console, ["model", "platform", "joined up to", "note"], result.Models.Select(m => (string[])[m.Name, m.Platform, m.MaxBatchSize == 0 ? "-" : $"{m.MaxBatchSize} rows", string.Join(" ", m.Notes)]));
        Terminal.Line(console, $"tritonserver --model-repository={result.Repository}");
    }

    private static string Among(string variant) => ServedEngine.Targets.Contains(variant) ? variant
        : throw new QuantSdkException("QSDK4079", $"--variant is '{variant}'; it is one of {string.Join(", ", ServedEngine.Targets)}.");

    private static int AtLeast(int least, int value, Option option) => value >= least ? value
        : throw new QuantSdkException("QSDK4079", $"{option.Name} is {value}; it is {least} or more.");

    private static int Gpu(string text) => int.TryParse(text, System.Globalization.NumberStyles.None, System.Globalization.CultureInfo.InvariantCulture, out var gpu) ? gpu
        : throw new QuantSdkException("QSDK4079", $"--gpus holds '{text}'; indices from 0, separated by commas, are expected.");
}
