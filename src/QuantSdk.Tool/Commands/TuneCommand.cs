using System.CommandLine;
using System.Globalization;
using QuantSdk.Engines;
using QuantSdk.Onnx;
using QuantSdk.Planning;
using QuantSdk.Runtime;
using QuantSdk.Tool.Output;
using Spectre.Console;

namespace QuantSdk.Tool.Commands;

/// <summary>What measuring a model's layers on this machine gave.</summary>
/// <param name="Output">The cost table.</param>
/// <param name="Rows">Rows of a batch that the sizes are for.</param>
internal sealed record TuneResult(string Model, string Output, string CpuClass, int Rows, int Threads, IReadOnlyList<TunedShape> Shapes);

/// <summary>One shape of layer.</summary>
/// <param name="Layers">How many layers have it.</param>
/// <param name="Float">Microseconds.</param>
/// <param name="Int8">Microseconds of the kernel alone, without quantising its input.</param>
internal sealed record TunedShape(string Kind, string Shape, int Layers, double Float, double Int8);

internal sealed class TuneCommand : StageCommand<TuneResult>
{
    private static readonly TimeSpan s_budget = TimeSpan.FromMilliseconds(200);

    private readonly ModelOptions _options;
    private readonly Option<string> _output = new("--output", "-o") { Description = "Where the times are written; by default NAME.costs.json beside the model.", HelpName = "FILE" };
    private readonly Option<int?> _rows = new("--rows") { Description = "Rows of a batch that run at once; by default 2 with guidance, else 1.", HelpName = "N" };

    public TuneCommand()
        : base("tune", "Times this machine on the layers of a model, in float and in int8, so that a build keeps in float what would be slower.", """
            The model is run on one batch of the calibration data to see the sizes. The file is an input of the build like
            calibration data: name it in Costs. Without one a build takes the times shipped for the CPU's class.

            Examples:
              quantsdk tune classifier.onnx --data images.npz --rows 8
              quantsdk tune unet.onnx --data prompts.npz --conditioned-by prompt_encoder.onnx --scheduler scheduler_config.json --guidance-scale 2 --threads 1
            """, ToolJson.Readable.TuneResult)
    {
        _options = new ModelOptions(this, "MODEL", [.. ModelOptions.DataNames, "ExcludeModules", "Only"]);
        _rows.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<int?>() < 1)
                result.AddError("--rows takes a number from 1.");
        });
        Add(_output);
        Add(_rows);
    }

    protected override string? OutputOf(ParseResult parse) => parse.GetValue(_output);

    protected override string? ProgressName(ParseResult parse) => Path.GetFileNameWithoutExtension(_options.Model(parse));

    protected override TuneResult Execute(ParseResult parse, IBuildLog log, CancellationToken cancellation)
    {
        var request = _options.Request(parse, ".");
        var output = Path.GetFullPath(parse.GetValue(_output) ?? Path.ChangeExtension(request.Model, ".costs.json"));
        using var model = FloatModel.Open(request, log);
        var rows = parse.GetValue(_rows) ?? CostAwarePlacement.BatchOf(model.Recipe);
        var shapes = Shapes(model, rows, log, cancellation);
        var cpuClass = CpuClass.Of(CpuFeatures.Current);
        log.Phase("Quantize");
        var table = CostMeasurement.Measure(
            shapes, cpuClass, new KernelClock(request.Threads, s_budget, cancellation), request.Threads, CostTable.Shipped(cpuClass), (done, total) => log.Progress("Quantize", done, total));
        OutputFile.Write(output, QuantSdkJson.Write(table));
        return new TuneResult(request.Model, output, cpuClass, rows, request.Threads, [.. shapes.GroupBy(s => s).Select(g => new TunedShape(
            g.Key.Kind, g.Key.ToString(), g.Count(), table.Microseconds(CostKernels.Of(g.Key, int8: false), g.Key), table.Microseconds(CostKernels.Of(g.Key, int8: true), g.Key)))]);
    }

    protected override void Print(TuneResult result, IAnsiConsole console)
    {
        string Number(double value) => value.ToString("f1", CultureInfo.InvariantCulture);
        Terminal.Table(console, ["layer", "shape", "how many", "float (µs)", "int8 (µs)"], result.Shapes.OrderByDescending(s => s.Layers * s.Float).Select(s => (string[])[s.Kind, s.Shape, $"{s.Layers}", Number(s.Float), Number(s.Int8)]));
        Terminal.Line(console, $"{Path.GetFileName(result.Model)} -> {result.Output} ({result.Shapes.Count} shapes at {result.Rows} rows, {result.Threads} threads, class {result.CpuClass})");
    }

    /// <summary>The work of every layer that could be quantised, at the batch size.</summary>
    private static IReadOnlyList<WorkShape> Shapes(FloatModel model, int rows, IBuildLog log, CancellationToken cancellation)
    {
        var folder = Directory.CreateTempSubdirectory("quantsdk-");
        try
        {
            var calibrated = model.Calibrate(folder.FullName, log, cancellation);
            return CostAwarePlacement.Shapes(new GraphView(model.Simplified.Graph), calibrated.Placement, calibrated.Table, rows);
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }
}
