using System.CommandLine;
using QuantSdk.Engines;
using QuantSdk.Engines.TensorRt;
using QuantSdk.Recipes;
using QuantSdk.Tool.Output;
using Spectre.Console;

namespace QuantSdk.Tool.Commands;

/// <summary>What a build made.</summary>
internal sealed record EngineResult(string Summary, string Output, BuildReport Report);

internal sealed class BuildCommand : StageCommand<EngineResult>
{
    private readonly ModelOptions _options;
    private readonly Option<string> _output = new("--output", "-o") { Description = "The engine's folder; it is replaced whole.", HelpName = "FOLDER", Required = true };
    private readonly StoreOptions _store;
    private readonly Option<string?> _report = new("--report") { Description = "Where report.json goes, plan.json and calibration.json beside it.", HelpName = "FILE" };

    private readonly Option<string?> _trtExec = new("--trtexec") { Description = "trtexec, or the folder that holds it. Default: QUANTSDK_TRTEXEC, PATH, where TensorRT is usually installed.", HelpName = "FILE" };

    public BuildCommand()
        : base("build", "Does what a build does for one QuantizedModel item: calibrates, quantises, builds the engine, measures it against the float model.", """
            The folder is what QuantizedModel.Load takes.

            Examples:
              quantsdk build classifier.onnx --data images.npz -o models/classifier
              quantsdk build unet.onnx --data prompts.npz --conditioned-by prompt_encoder.onnx --scheduler scheduler_config.json --guidance-scale 2 -o models/unet
              quantsdk build prompt_encoder.onnx --precision none -o models/prompt_encoder
              quantsdk build unet.onnx --data prompts.npz --targets tensorrt cpu --trtexec /opt/tensorrt/bin -o models/unet
            """, ToolJson.Readable.EngineResult)
    {
        _options = new ModelOptions(this, "MODEL", RecipeParser.Known);
        Add(_output);
        Add(_report);
        Add(_trtExec);
        _store = new StoreOptions(this, withMode: true);
    }

    protected override string? OutputOf(ParseResult parse) => parse.GetValue(_output);

    protected override string? ProgressName(ParseResult parse) => Path.GetFileNameWithoutExtension(_options.Model(parse));

    protected override EngineResult Execute(ParseResult parse, IBuildLog log, CancellationToken cancellation)
    {
        var request = _options.Request(parse, parse.GetRequiredValue(_output), parse.GetValue(_report)) with { Store = _store.Settings(parse), TrtExec = TrtExec(parse) };
        OutputFolder.Check(request.Output, "manifest.json", "cpu", "tensorrt");
        var result = ModelBuilder.Build(request, log, cancellation);
        return new EngineResult(result.Summary, request.Output, result.Report);
    }

    /// <summary>What trtexec says is kept beside the report.</summary>
    private TrtExecSettings TrtExec(ParseResult parse) => new(
        parse.GetValue(_trtExec) is { } path ? Path.GetFullPath(path) : null, Layers: parse.GetValue(_report) is { } report ? Path.GetDirectoryName(Path.GetFullPath(report)) : null);

    protected override void Print(EngineResult result, IAnsiConsole console) => Terminal.Line(console, result.Summary.Replace($"models/{result.Report.Name}", result.Output, StringComparison.Ordinal));
}
