using System.CommandLine;
using QuantSdk.Calibration;
using QuantSdk.Engines;
using QuantSdk.Engines.Streaming;
using QuantSdk.Planning;
using QuantSdk.Recipes;
using QuantSdk.Rewriting;
using QuantSdk.Runtime;
using QuantSdk.Tool.Output;
using Spectre.Console;

namespace QuantSdk.Tool.Commands;

/// <summary>What quantising a model wrote.</summary>
/// <param name="Layers">Nodes in 8 bits.</param>
/// <param name="Kept">Nodes that were left alone; plan.json says why.</param>
internal sealed record QuantizeResult(string Model, string Output, long FloatBytes, int Layers, int Kept, IReadOnlyList<QuantizedGraph> Graphs);

/// <summary>The graph for a target.</summary>
/// <param name="Bytes">With its weights.</param>
internal sealed record QuantizedGraph(string Target, string Model, long Bytes);

internal sealed class QuantizeCommand : StageCommand<QuantizeResult>
{
    private static readonly string[] Targets = ["cpu", "tensorrt", "sim"];

    private readonly ModelOptions _options;
    private readonly Option<string[]> _target = new("--target") { Description = "cpu, tensorrt (in 32-bit floats; `build --targets tensorrt-onnx` writes it in 16), sim (a graph of float operators that rounds as the others do). Default: cpu.", HelpName = "TARGET", AllowMultipleArgumentsPerToken = true };
    private readonly Option<string?> _calibration = new("--calibration") { Description = "Ranges that `quantsdk calibrate` wrote, instead of data.", HelpName = "FILE" };
    private readonly Option<string> _output = new("--output", "-o") { Description = "The folder; it is replaced whole.", HelpName = "FOLDER", Required = true };

    public QuantizeCommand()
        : base("quantize", "Calibrates and rewrites a model: one graph for each target, and plan.json with every decision. Weights alone need no data and may be larger than memory.", """

            Examples:
              quantsdk quantize classifier.onnx --data images.npz --target cpu tensorrt -o quantised
              quantsdk quantize classifier.onnx --calibration calibration.json --target sim -o quantised
              quantsdk quantize llama.onnx --precision int4 -o quantised
            """, ToolJson.Readable.QuantizeResult)
    {
        _target.AcceptOnlyFromAmong(Targets);
        _options = new ModelOptions(this, "MODEL", [.. ModelOptions.CalibrationNames, "Precision", "Weights", "Activations", "BlockSize", "WeightZeroPoint", "Rounding", "OptimizeFor", "Costs"]);
        Add(_target);
        Add(_calibration);
        Add(_output);
    }

    protected override string? OutputOf(ParseResult parse) => parse.GetValue(_output);

    protected override string? ProgressName(ParseResult parse) => Path.GetFileNameWithoutExtension(_options.Model(parse));

    protected override QuantizeResult Execute(ParseResult parse, IBuildLog log, CancellationToken cancellation)
    {
        var request = _options.Request(parse, parse.GetRequiredValue(_output));
        OutputFolder.Check(request.Output, [.. Targets, "plan.json"]);
        var targets = parse.GetValue(_target) is { Length: > 0 } given ? given.Distinct().ToArray() : ["cpu"];
        using var folder = new EngineFolder(request.Output);
        var recipe = RecipeParser.Parse(request.Name, request.Metadata);
        if (WeightOnlyPlanner.Applies(recipe) && !targets.Contains("sim"))
            return WeightOnly(request, recipe, targets, folder, log, cancellation);
        using var model = FloatModel.Open(request, log);
        // What does not pay on a CPU is left out for the sake of a CPU alone.
        var costs = CostFile.Read(request, model.Recipe, log);
        Placement Placed(Placement placement, CalibrationTable table) =>
            CostAwarePlacement.Decide(model.Simplified, placement, table, model.Recipe with { Targets = targets }, costs?.Table, CpuFeatures.Current).Placement;
        var plan = Plan(model, parse.GetValue(_calibration), Placed, folder.Scratch, log, cancellation);
        log.Phase("Quantize");
        var graphs = new List<QuantizedGraph>();
        foreach (var target in targets)
        {
            cancellation.ThrowIfCancellationRequested();
            folder.Write(target, Lowering.Lower(model.Simplified, plan, target));
            graphs.Add(new QuantizedGraph(target, $"{target}/model.onnx", folder.Files(target).Sum(f => f.Bytes)));
        }
        OutputFile.Write(Path.Combine(folder.Staging, "plan.json"), QuantSdkJson.Write(plan));
        folder.Commit();
        return new QuantizeResult(request.Model, request.Output, model.Original.FileBytes, plan.Layers.Count, plan.Kept.Count, graphs);
    }

    private static QuantizeResult WeightOnly(BuildRequest request, Recipe recipe, string[] targets, EngineFolder folder, IBuildLog log, CancellationToken cancellation)
    {
        log.Phase("Quantize");
        TargetSupport.Check(recipe with { Targets = targets });
        var model = WeightOnlyModel.Open(request.Model, recipe);
        var graphs = new List<QuantizedGraph>();
        Plan? plan = null;
        foreach (var target in targets)
        {
            var path = folder.Model(target);
            var written = model.Write(target, path, Path.ChangeExtension(path, ".data"), request.Threads, (done, total) => log.Progress("Quantize", (int)(done >> 20), (int)(total >> 20)), cancellation);
            plan ??= written;
            graphs.Add(new QuantizedGraph(target, $"{target}/model.onnx", folder.Files(target).Sum(f => f.Bytes)));
        }
        OutputFile.Write(Path.Combine(folder.Staging, "plan.json"), QuantSdkJson.Write(plan!));
        folder.Commit();
        return new QuantizeResult(request.Model, request.Output, model.Original.FileBytes, plan!.Layers.Count, plan.Kept.Count, graphs);
    }

    protected override void Print(QuantizeResult result, IAnsiConsole console)
    {
        foreach (var graph in result.Graphs)
            Terminal.Line(console, $"{Path.GetFileNameWithoutExtension(result.Model)} -> {Path.Combine(result.Output, graph.Model)} ({result.Layers} of {result.Layers + result.Kept} layers, {Terminal.Megabytes(result.FloatBytes)} -> {Terminal.Megabytes(graph.Bytes)})");
    }

    private static Plan Plan(FloatModel model, string? calibration, Func<Placement, CalibrationTable, Placement> placed, string scratch, IBuildLog log, CancellationToken cancellation)
    {
        if (calibration is null)
        {
            var calibrated = model.Calibrate(scratch, log, cancellation);
            return Planner.Make(model.Simplified, placed(calibrated.Placement, calibrated.Table), calibrated.Table, model.Recipe, calibrated.Samples);
        }
        var table = JsonFile.Read<CalibrationTable>(calibration, "ranges of `quantsdk calibrate`");
        var placement = Placement.Decide(model.Simplified, model.Recipe, model.Roles);
        var known = table.Tensors.Select(t => t.Name).ToHashSet(StringComparer.Ordinal);
        if (placement.Tensors.FirstOrDefault(t => !known.Contains(t)) is { } missing)
            throw new QuantSdkException("QSDK1007", $"'{calibration}' holds no range of the tensor '{missing}'. Calibrate this model, with the same ExcludeModules and Only.", calibration, missing);
        return Planner.Make(model.Simplified, placed(placement, table), table, model.Recipe, null);
    }
}
