using System.CommandLine;
using System.Globalization;
using QuantSdk.Calibration;
using QuantSdk.Engines;
using QuantSdk.Onnx;
using QuantSdk.Planning;
using QuantSdk.Quality;
using QuantSdk.Recipes;
using QuantSdk.Runtime;
using QuantSdk.Tool.Output;
using Spectre.Console;

namespace QuantSdk.Tool.Commands;

/// <summary>How an engine agrees with a float model.</summary>
/// <param name="Ran">Which file of the engine ran, by which provider, and why.</param>
internal sealed record CompareResult(string Model, string Engine, string Ran, IReadOnlyList<OutputQuality> Quality);

internal sealed class CompareCommand : StageCommand<CompareResult>
{
    private readonly ModelOptions _options;
    private readonly Argument<string> _engine = new("ENGINE") { Description = "The folder of an engine: one with a manifest.json." };

    public CompareCommand()
        : base("compare", "Runs a float model and an engine on the same data and prints SQNR (dB) and cosine of every output.", """

            Examples:
              quantsdk compare classifier.onnx models/classifier --data test.npz
              quantsdk compare unet.onnx models/unet --data prompts.npz --scheduler scheduler_config.json --seed 1000 --json
            """, ToolJson.Readable.CompareResult)
    {
        _options = new ModelOptions(this, "MODEL", ModelOptions.DataNames);
        Add(_engine);
    }

    protected override string? ProgressName(ParseResult parse) => Path.GetFileNameWithoutExtension(_options.Model(parse));

    protected override CompareResult Execute(ParseResult parse, IBuildLog log, CancellationToken cancellation)
    {
        var folder = Path.GetFullPath(parse.GetRequiredValue(_engine));
        var request = _options.Request(parse, folder);
        var recipe = RecipeParser.Parse(request.Name, request.Metadata);
        var model = OnnxFile.Load(request.Model);
        var roles = Roles.Find(model, recipe);
        using var engine = QuantizedModel.Load(folder, new QuantizedModelOptions { Threads = request.Threads });
        using var open = ReferenceModel.Open(model, request.Threads);
        var reference = open.Session;
        using var conditioner = request.ConditionedBy is null ? null : ReferenceModel.Open(OnnxFile.Load(request.ConditionedBy), request.Threads);
        // Everything is judged on: nothing is calibrated here.
        var data = CalibrationInputs.Read(request, recipe with { ValidationData = recipe.CalibrationData }, reference.Inputs, roles, conditioner?.Session, log);
        log.Phase("Verify");
        var quality = QualityCheck.Compare(reference, engine.Session, data.Calibration!, (done, total) => log.Progress("Verify", done, total), cancellation);
        if (quality.Count == 0)
            throw new QuantSdkException("QSDK5003", $"'{folder}' shares no float output with '{request.Model}'. Is it the engine of this model?", folder);
        return new CompareResult(request.Model, folder, engine.Selection.ToString(), quality);
    }

    protected override void Print(CompareResult result, IAnsiConsole console)
    {
        Terminal.Line(console, result.Ran);
        Terminal.Table(console, ["output", "SQNR (dB)", "cosine"], result.Quality.Select(q => (string[])[q.Output, q.SqnrDb.ToString("f2", CultureInfo.InvariantCulture), q.Cosine.ToString("f6", CultureInfo.InvariantCulture)]));
    }
}
