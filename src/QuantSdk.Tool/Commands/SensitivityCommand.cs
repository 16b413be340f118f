using System.CommandLine;
using System.Globalization;
using QuantSdk.Engines;
using QuantSdk.Planning;
using QuantSdk.Quality;
using QuantSdk.Runtime;
using QuantSdk.Tool.Output;
using Spectre.Console;

namespace QuantSdk.Tool.Commands;

/// <summary>The groups of a model's layers, ranked.</summary>
internal sealed record SensitivityResult(string Model, Sensitivity Sensitivity);

internal sealed class SensitivityCommand : StageCommand<SensitivityResult>
{
    private static readonly string[] Orders = ["descending", "ascending", "graph"];

    private readonly ModelOptions _options;
    private readonly Option<string> _order = new("--order") { Description = "descending: the most harmful layers first; ascending; graph: as they run.", HelpName = "ORDER", DefaultValueFactory = _ => Orders[0] };

    public SensitivityCommand()
        : base("sensitivity", "Ranks layers by the error that quantising each one alone causes at the outputs.", """
            Layers that read one tensor (Q, K and V) or share a weight are quantised together, and ranked as one.
            SQNR is what the model would have if nothing else were quantised. The errors are measured on held-out rows, nothing is written.

            Examples:
              quantsdk sensitivity classifier.onnx --data images.npz
              quantsdk sensitivity unet.onnx --data prompts.npz --conditioned-by prompt_encoder.onnx --scheduler scheduler_config.json --json
            """, ToolJson.Readable.SensitivityResult)
    {
        _order.AcceptOnlyFromAmong(Orders);
        _options = new ModelOptions(this, "MODEL", [.. ModelOptions.CalibrationNames, "ValidationData", "Weights", "Activations", "SmoothQuant", "BiasCorrection", "Level"]);
        Add(_order);
    }

    protected override string? ProgressName(ParseResult parse) => Path.GetFileNameWithoutExtension(_options.Model(parse));

    protected override SensitivityResult Execute(ParseResult parse, IBuildLog log, CancellationToken cancellation)
    {
        var scratch = Directory.CreateTempSubdirectory("quantsdk-");
        try
        {
            using var model = FloatModel.Open(_options.Request(parse, scratch.FullName), log);
            var calibrated = model.Calibrate(scratch.FullName, log, cancellation);
            if (calibrated.Inputs.HeldOut is not { } heldOut)
                throw new QuantSdkException("QSDK2001", $"{model.Recipe.Name}: errors are measured on rows, and CalibrationData is a calibration cache alone. Give --validation-data.", model.Request.Model);
            var plan = Planner.Make(model.Simplified, calibrated.Placement, calibrated.Table, model.Recipe, calibrated.Samples);
            log.Phase("Verify");
            var sensitivity = SensitivityCheck.Measure(model.Simplified, plan, null, model.Reference.Session, heldOut, scratch.FullName, model.Request.Threads, (done, total) => log.Progress("Verify", done, total), cancellation);
            return new SensitivityResult(model.Request.Model, sensitivity with { Groups = [.. Ordered(sensitivity.Groups, parse.GetValue(_order)!)] });
        }
        finally
        {
            scratch.Delete(recursive: true);
        }
    }

    protected override void Print(SensitivityResult result, IAnsiConsole console)
    {
        string Number(double value, string format) => value.ToString(format, CultureInfo.InvariantCulture);
        var sensitivity = result.Sensitivity;
        var macs = Math.Max(1, sensitivity.Groups.Sum(g => g.Macs));
        Terminal.Table(console, ["layers", "formats", "SQNR alone (dB)", "error", "multiply-adds (%)", "saves"], sensitivity.Groups.Select(g => (string[])
            [Label(g), g.Formats, Number(g.SqnrDb, "f2"), Number(g.Error, "0.##e+0"), Number(100.0 * g.Macs / macs, "f2"), Terminal.Megabytes(g.BytesSaved)]));
        Terminal.Line(console, string.Create(CultureInfo.InvariantCulture, $"all {sensitivity.Groups.Count} at once: {sensitivity.SqnrDb:f2} dB (their sum predicts {sensitivity.PredictedSqnrDb:f2} dB), on {sensitivity.Rows} rows"));
    }

    private static IEnumerable<GroupSensitivity> Ordered(IReadOnlyList<GroupSensitivity> groups, string order) => order switch
    {
        "ascending" => groups.OrderBy(g => g.Error),
        "graph" => groups,
        _ => groups.OrderByDescending(g => g.Error),
    };

    private static string Label(GroupSensitivity group) =>
        (group.Module.Length > 0 ? group.Module : group.Layers[0]) + (group.Layers.Count > 1 ? $" and {group.Layers.Count - 1} more" : "");
}
