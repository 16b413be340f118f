using System.CommandLine;
using QuantSdk.Calibration;
using QuantSdk.Engines;
using QuantSdk.Tool.Output;
using Spectre.Console;

namespace QuantSdk.Tool.Commands;

/// <summary>What calibrating a model gave.</summary>
/// <param name="Output">The file with the ranges.</param>
internal sealed record CalibrateResult(string Model, string Output, string Calibrator, long Rows, int Tensors);

internal sealed class CalibrateCommand : StageCommand<CalibrateResult>
{
    private readonly ModelOptions _options;
    private readonly Option<string> _output = new("--output", "-o") { Description = "Where the ranges are written.", HelpName = "FILE", DefaultValueFactory = _ => "calibration.json" };

    public CalibrateCommand()
        : base("calibrate", "Runs the float model over calibration data and writes the range of every tensor that quantising needs.", """

            Examples:
              quantsdk calibrate classifier.onnx --data images.npz -o calibration.json
              quantsdk calibrate unet.onnx --data prompts.npz --scheduler scheduler_config.json --steps 20 --calibrator entropy
            """, ToolJson.Readable.CalibrateResult)
    {
        _options = new ModelOptions(this, "MODEL", ModelOptions.CalibrationNames);
        Add(_output);
    }

    protected override string? OutputOf(ParseResult parse) => parse.GetValue(_output);

    protected override string? ProgressName(ParseResult parse) => Path.GetFileNameWithoutExtension(_options.Model(parse));

    protected override CalibrateResult Execute(ParseResult parse, IBuildLog log, CancellationToken cancellation)
    {
        var output = Path.GetFullPath(parse.GetRequiredValue(_output));
        var request = _options.Request(parse, output);
        // For the model with its extra outputs, beside the result: what fits there fits.
        using var folder = new EngineFolder(output + ".work");
        using var model = FloatModel.Open(request, log);
        var calibrated = model.Calibrate(folder.Scratch, log, cancellation);
        OutputFile.Write(output, QuantSdkJson.Write(calibrated.Table));
        return new CalibrateResult(request.Model, output, calibrated.Table.Calibrator, calibrated.Table.Rows, calibrated.Table.Tensors.Count);
    }

    protected override void Print(CalibrateResult result, IAnsiConsole console) =>
        Terminal.Line(console, $"{Path.GetFileNameWithoutExtension(result.Model)} -> {result.Output} ({result.Tensors} ranges from {result.Rows} rows, {result.Calibrator})");
}
