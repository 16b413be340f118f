using System.CommandLine;
using QuantSdk.Calibration;
using QuantSdk.Engines;
using QuantSdk.Interchange;
using QuantSdk.Planning;
using QuantSdk.Runtime;
using QuantSdk.Tool.Output;
using Spectre.Console;

namespace QuantSdk.Tool.Commands;

/// <summary>What exporting a model wrote.</summary>
/// <param name="Map">The file that names each module's formats.</param>
/// <param name="Kept">Nodes with weights that are in neither file, and why.</param>
internal sealed record ExportResult(string Model, string Output, string Map, long Bytes, int Modules, IReadOnlyList<Kept> Kept);

internal sealed class ExportCommand : StageCommand<ExportResult>
{
    private static readonly string[] Weights = ["int8", "fp8", "int4", "int2"];

    private readonly ModelOptions _options;
    private readonly Option<string> _format = new("--format") { Description = "safetensors, in the key layout of optimum-quanto.", HelpName = "FORMAT", DefaultValueFactory = _ => "safetensors" };
    private readonly Option<string> _weights = new("--weights") { Description = "int8, fp8, int4, int2. Default: int8.", HelpName = "FORMAT", DefaultValueFactory = _ => "int8" };
    private readonly Option<string> _output = new("--output", "-o") { Description = "Where the tensors are written; quanto_qmap.json is written beside it.", HelpName = "FILE", Required = true };

    public ExportCommand()
        : base("export", "Writes the quantised weights of a model, with their scales, for other tools.", """
            Weights are rounded to the nearest code. With --data the scales of inputs and outputs of the layers are calibrated, too.

            Examples:
              quantsdk export classifier.onnx -o classifier.safetensors
              quantsdk export unet.onnx --weights int4 --exclude-modules "mid_block*" -o unet/diffusion_pytorch_model.safetensors
            """, ToolJson.Readable.ExportResult)
    {
        _format.AcceptOnlyFromAmong("safetensors");
        _weights.AcceptOnlyFromAmong(Weights);
        _options = new ModelOptions(this, "MODEL", ModelOptions.CalibrationNames);
        Add(_format);
        Add(_weights);
        Add(_output);
    }

    protected override string? OutputOf(ParseResult parse) => parse.GetValue(_output);

    protected override string? ProgressName(ParseResult parse) => Path.GetFileNameWithoutExtension(_options.Model(parse));

    protected override ExportResult Execute(ParseResult parse, IBuildLog log, CancellationToken cancellation)
    {
        var output = Path.GetFullPath(parse.GetRequiredValue(_output));
        var request = _options.Request(parse, output);
        using var folder = new EngineFolder(output + ".work");
        using var model = FloatModel.Open(request, log);
        var placement = Placement.Decide(model.Simplified, model.Recipe, model.Roles);
        CalibrationTable? calibration = null;
        if (model.Recipe.CalibrationData.Count > 0)
        {
            var inputs = model.Inputs(log);
            calibration = CalibrationStage.Ranges(request, model.Recipe, model.Simplified, inputs, QuantoModel.Observed(model.Simplified, placement.Layers), folder.Scratch, log, cancellation);
        }
        log.Phase("Quantize");
        var quanto = QuantoModel.Encode(model.Simplified, placement.Layers, parse.GetRequiredValue(_weights), calibration);
        if (quanto.Modules.Count == 0)
            throw new QuantSdkException("QSDK3003", $"'{request.Model}' has no layer that can be exported; `quantsdk inspect` says why.", request.Model);
        var map = Path.Combine(Path.GetDirectoryName(output)!, "quanto_qmap.json");
        OutputFile.Write(output, stream => SafetensorsFile.Write(stream, quanto.Tensors, new Dictionary<string, string> { ["format"] = "pt" }));
        OutputFile.Write(map, QuantSdkJson.Write(quanto.Modules));
        return new ExportResult(request.Model, output, map, new FileInfo(output).Length, quanto.Modules.Count, [.. placement.Kept, .. quanto.Left]);
    }

    protected override void Print(ExportResult result, IAnsiConsole console) =>
        Terminal.Line(console, $"{Path.GetFileNameWithoutExtension(result.Model)} -> {result.Output} ({result.Modules} of {result.Modules + result.Kept.Count} layers, {Terminal.Megabytes(result.Bytes)})");
}
