using System.CommandLine;
using System.Globalization;
using QuantSdk.Caching;
using QuantSdk.Calibration;
using QuantSdk.Engines;
using QuantSdk.Onnx;
using QuantSdk.Planning;
using QuantSdk.Recipes;
using QuantSdk.Runtime;
using QuantSdk.Tool.Output;
using Spectre.Console;

namespace QuantSdk.Tool.Commands;

/// <summary>Where a model can be cut, or what one cut is.</summary>
/// <param name="Candidates">Null where a cut was named.</param>
/// <param name="Cut">Null where none was named.</param>
/// <param name="Output">The folder that full and live graph were written to, or null.</param>
internal sealed record CutResult(string Model, IReadOnlyList<CutCandidate>? Candidates, CutReport? Cut, IReadOnlyList<TensorInfo> Tensors, string? Output);

internal sealed class CutCommand : StageCommand<CutResult>
{
    private readonly ModelOptions _options;
    private readonly Option<string?> _output = new("--output", "-o") { Description = "Writes model.onnx and live.onnx over one model.data there: the model as it is, in its own types, cut and no more.", HelpName = "FOLDER" };

    public CutCommand()
        : base("cut", "Lists where a denoiser can be cut to cache deep features between steps, with cost and error; or shows, and writes, one cut.", """
            cost: the live part's predicted share of a full step. drift: how much cached tensors change from one step to the next, relative.
            error: what the model's output is off by when they are one step old, relative. Both are measured where --scheduler and --data are given.
            speed-up: of a loop with every third step full. A star marks cuts that no other one beats in cost and error.

            Examples:
              quantsdk cut unet.onnx
              quantsdk cut unet.onnx --data prompts.npz --conditioned-by prompt_encoder.onnx --scheduler scheduler_config.json
              quantsdk cut unet.onnx --cache up_blocks.2
              quantsdk cut unet.onnx --cache output:up_blocks.2.resnets.1 -o cut
            """, ToolJson.Readable.CutResult)
    {
        _options = new ModelOptions(this, "MODEL", [.. ModelOptions.DataNames, "Precision", "Costs", "Cache", "CacheSpeedup", "CacheQuality"]);
        Add(_output);
    }

    protected override string? OutputOf(ParseResult parse) => parse.GetValue(_output);

    protected override string? ProgressName(ParseResult parse) => Path.GetFileNameWithoutExtension(_options.Model(parse));

    protected override CutResult Execute(ParseResult parse, IBuildLog log, CancellationToken cancellation)
    {
        var output = parse.GetValue(_output);
        var final = output ?? Path.Combine(Path.GetTempPath(), $"quantsdk-cut-{Guid.NewGuid():N}");
        using var folder = new EngineFolder(Path.GetFullPath(final));
        var request = _options.Request(parse, final);
        var recipe = RecipeParser.Parse(request.Name, request.Metadata);
        if (output is not null && recipe.Cache is not (null or "auto"))
            return Write(request, recipe, folder, output);
        using var model = FloatModel.Open(request, log);
        var roles = model.Roles ?? throw NoDenoiser(request, recipe);
        if (recipe.Cache is not (null or "auto"))
        {
            var cached = CachedModel.Mark(model.Simplified, roles, CacheCut.Parse(recipe.Cache));
            return Result(request, cached, model.Simplified, null);
        }
        using var conditioner = model.Conditioner is { } conditioning ? ReferenceModel.Open(conditioning, request.Threads) : null;
        var costs = CostFile.Read(request, recipe, log)?.Table;
        var candidates = recipe.Cache is null
            ? CutStage.Measure(request, recipe, model.Simplified, roles, model.Reference.Session, conditioner?.Session, costs, folder.Scratch, log, cancellation).Candidates
            : CutStage.Choose(request, recipe, model.Simplified, roles, model.Reference.Session, conditioner?.Session, costs, folder.Scratch, log, cancellation).Candidates;
        return new CutResult(request.Model, candidates, null, [], null);
    }

    private static CutResult Write(BuildRequest request, Recipe recipe, EngineFolder folder, string output)
    {
        OutputFolder.Check(request.Output, "model.onnx", "model.data", "live.onnx");
        var model = OnnxFile.Load(request.Model);
        var cached = CachedModel.Mark(model, Roles.Find(model, recipe) ?? throw NoDenoiser(request, recipe), CacheCut.Parse(recipe.Cache!));
        var (full, live) = (Path.Combine(folder.Staging, "model.onnx"), Path.Combine(folder.Staging, "live.onnx"));
        OnnxFile.Save(cached.Model.Proto, full, Path.ChangeExtension(full, ".data"));
        OnnxFile.Save(cached.Live(cached.Model.Proto), live, Path.ChangeExtension(live, ".data"));
        SharedWeights.Join(full, live);
        folder.Commit();
        return Result(request, cached, model, Path.GetFullPath(output));
    }

    private static CutResult Result(BuildRequest request, CachedModel cached, OnnxModel model, string? output)
    {
        var share = ProductCosts.Of(model.Proto).MacShare(Frontier.Live(new GraphView(model.Graph), cached.Tensors).Nodes);
        return new CutResult(request.Model, null, new CutReport(cached.Cut.ToString(), [.. cached.Tensors.Select(t => t.Name)], Math.Round(share, 6), 0), cached.Infos(), output);
    }

    private static QuantSdkException NoDenoiser(BuildRequest request, Recipe recipe) =>
        new("QSDK3067", $"{recipe.Name}: caching needs a denoiser, and no sample and timestep inputs were found. Name them with --sample-input and --timestep-input.", request.Model);

    protected override void Print(CutResult result, IAnsiConsole console)
    {
        if (result.Candidates is { } candidates)
        {
            Print(candidates, console);
            return;
        }
        Terminal.Facts(console,
            ("cut", result.Cut!.Cut), ("live part", $"{Percent(result.Cut.MacShare)} of the multiply-adds"), ("cached", string.Join(", ", result.Tensors.Select(Terminal.Tensor))), ("written", result.Output ?? "nothing; --output FOLDER writes both graphs"));
    }

    /// <summary>The table of cuts.</summary>
    internal static void Print(IReadOnlyList<CutCandidate> candidates, IAnsiConsole console) =>
        Terminal.Table(console, ["", "cut", "cost", "drift", "error", "speed-up", "tensors"],
            candidates.Select(c => (string[])[
                c.Chosen ? ">" : c.Pareto ? "*" : "", c.Cut, Percent(c.Cost), c.Drift is { } drift ? Percent(drift) : "", c.Error is { } error ? Percent(error) : "",
                c.Speedup.ToString("0.00", CultureInfo.InvariantCulture), c.Tensors.Count.ToString(CultureInfo.InvariantCulture)]));

    private static string Percent(double share) => (share * 100).ToString("0.0", CultureInfo.InvariantCulture) + " %";
}
