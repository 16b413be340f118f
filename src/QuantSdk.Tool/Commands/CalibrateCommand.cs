using System.CommandLine;
using QuantSdk.Calibration;
using QuantSdk.Engines;
using QuantSdk.Interchange;
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

    private readonly Option<string?> _cache = new("--tensorrt-cache") { Description = "Also writes the ranges as a calibration cache for trtexec --calib.", HelpName = "FILE" };
    private readonly Option<int> _version = new("--tensorrt-version") { Description = "The version that the cache's first line names; TensorRT takes that of its own: 8601 is 8.6.1.", HelpName = "N", DefaultValueFactory = _ => 100300 };

    public CalibrateCommand()
        : base("calibrate", "Runs the float model over calibration data and writes the range of every tensor that quantising needs.", """

            Examples:
              quantsdk calibrate classifier.onnx --data images.npz -o calibration.json
              quantsdk calibrate unet.onnx --data prompts.npz --scheduler scheduler_config.json --steps 20 --calibrator entropy
              quantsdk calibrate classifier.onnx --data images.npz --tensorrt-cache classifier.cache --tensorrt-version 8601
            """, ToolJson.Readable.CalibrateResult)
    {
        _options = new ModelOptions(this, "MODEL", ModelOptions.CalibrationNames);
        Add(_output);
        Add(_cache);
        Add(_version);
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
        if (parse.GetValue(_cache) is { } cache)
            OutputFile.Write(Path.GetFullPath(cache), TensorRtCalibrationCache.From(calibrated.Table, parse.GetValue(_version)).ToString());
        return new CalibrateResult(request.Model, output, calibrated.Table.Calibrator, calibrated.Table.Rows, calibrated.Table.Tensors.Count);
    }

    protected override void Print(CalibrateResult result, IAnsiConsole console) =>
        Terminal.Line(console, $"{Path.GetFileNameWithoutExtension(result.Model)} -> {result.Output} ({result.Tensors} ranges from {result.Rows} rows, {result.Calibrator})");
}
