using System.CommandLine;
using QuantSdk.Engines;
using QuantSdk.Engines.TensorRt;
using QuantSdk.Onnx;
using QuantSdk.Recipes;
using QuantSdk.Runtime;
using QuantSdk.Store;
using QuantSdk.Tool.Output;
using Spectre.Console;

namespace QuantSdk.Tool.Commands;

/// <summary>The trtexec of this machine, and what it would be told or has built.</summary>
/// <param name="Driver">The version of NVIDIA's driver; unknown where it does not tell it; null: there is none.</param>
/// <param name="Gpu">The GPU that would build, as far as files tell; null without one.</param>
/// <param name="Command">What trtexec is told; null without a model.</param>
/// <param name="Profiles">The shapes that the engine takes.</param>
/// <param name="Plan">The plan that was built; null with --dry-run or without a model.</param>
internal sealed record TrtExecResult(
    string Path, string Version, string Origin, string? Driver, string? Gpu, IReadOnlyList<string>? Command = null, IReadOnlyList<string>? MeasuredBy = null, IReadOnlyList<TensorRtProfile>? Profiles = null,
    TrtExecPlan? Plan = null);

/// <param name="Seconds">What building took.</param>
internal sealed record TrtExecPlan(string Path, long Bytes, string Version, string ComputeCapability, string Gpu, double Seconds, TrtExecPerformance? Performance);

internal sealed class TrtExecCommand : StageCommand<TrtExecResult>
{
    private readonly Argument<string?> _model = new("MODEL") { Arity = ArgumentArity.ZeroOrOne, Description = "An ONNX model as `quantsdk build --targets tensorrt-onnx` writes it." };
    private readonly Option<string?> _trtExec = new("--trtexec") { Description = "The program, or a folder that has it; absolute.", HelpName = "PATH" };
    private readonly Option<string?> _output = new("--output", "-o") { Description = "The plan that is built. Default: MODEL.plan.", HelpName = "FILE" };
    private readonly Option<bool> _dryRun = new("--dry-run") { Description = "Shows the command and runs nothing." };
    private readonly Option<string[]> _min = Shapes("--min-shapes", "Least shapes of dynamic inputs: NAME:DIMxDIM, a comma between inputs; once more for each further profile.");
    private readonly Option<string[]> _opt = Shapes("--opt-shapes", "The shapes that kernels are chosen for.");
    private readonly Option<string[]> _max = Shapes("--max-shapes", "The largest shapes.");
    private readonly Option<string[]> _shapes = Shapes("--shapes", "All three.");
    private readonly Option<bool> _weaklyTyped = new("--weakly-typed") { Description = "TensorRT chooses the types (--fp16 --int8), until 10.16." };
    private readonly Option<string> _precision = new("--high-precision") { Description = "fp32, fp16 or bf16; read with --weakly-typed alone.", DefaultValueFactory = _ => "fp16" };
    private readonly Option<int?> _level = new("--builder-optimization-level") { Description = "0 to 5: how long kernels are searched for.", HelpName = "N" };
    private readonly Option<int?> _workspace = new("--workspace") { Description = "MiB that a kernel may use beside its tensors.", HelpName = "MIB" };
    private readonly Option<string> _hardware = new("--hardware-compatibility") { Description = "none, ampere+ or sameComputeCapability.", DefaultValueFactory = _ => "none" };
    private readonly Option<bool> _versionCompatible = new("--version-compatible") { Description = "The engine loads in newer versions too." };
    private readonly Option<bool> _strip = new("--strip-weights") { Description = "The engine has no weights." };
    private readonly Option<bool> _refit = new("--refit") { Description = "The weights may be replaced." };
    private readonly Option<int> _device = new("--gpu-device") { Description = "The GPU that builds.", HelpName = "N" };
    private readonly Option<bool> _measure = new("--measure") { Description = "Runs the engine after it is built." };
    private readonly Option<string[]> _arguments = new("--argument") { Description = "A further option of trtexec: --argument=--maxTactics=16.", HelpName = "--NAME=VALUE" };

    public TrtExecCommand()
        : base("trtexec", "Finds trtexec, shows what it would be told for a model, or has it build an engine.", """
            Without a model: which program is found, how, of which version, and whether there is a driver. No GPU is touched.

            Examples:
              quantsdk trtexec
              quantsdk trtexec model.onnx --max-shapes sample:8x4x64x64 --min-shapes sample:1x4x64x64 --opt-shapes sample:2x4x64x64 --dry-run
              quantsdk trtexec model.onnx --output model.plan --measure --json
            """, ToolJson.Readable.TrtExecResult)
    {
        _precision.AcceptOnlyFromAmong("fp32", "fp16", "bf16");
        _hardware.AcceptOnlyFromAmong("none", "ampere+", "sameComputeCapability");
        Add(_model);
        foreach (var option in (Option[])[_trtExec, _output, _dryRun, _shapes, _min, _opt, _max, _weaklyTyped, _precision, _level, _workspace, _hardware, _versionCompatible, _strip, _refit, _device, _measure, _arguments])
            Add(option);
    }

    protected override string? OutputOf(ParseResult parse) => parse.GetValue(_model) is { } model ? Plan(parse, model) : null;

    protected override string? ProgressName(ParseResult parse) => parse.GetValue(_dryRun) ? null : Path.GetFileNameWithoutExtension(parse.GetValue(_model));

    protected override TrtExecResult Execute(ParseResult parse, IBuildLog log, CancellationToken cancellation)
    {
        var settings = new TrtExecSettings(parse.GetValue(_trtExec));
        var trtExec = TrtExec.Find(settings, cancellation);
        var options = Wishes(parse);
        var driver = NvidiaDriver.IsPresent(settings);
        var found = new TrtExecResult(
            trtExec.Path, trtExec.Version.Release, trtExec.Origin, driver ? NvidiaDriver.Version() ?? GpuIdentity.Unknown : null, driver ? GpuIdentity.Of(options.GpuDevice).Model : null);
        if (parse.GetValue(_model) is not { } given)
            return found;
        // Builds keep them there, too.
        var shared = StoreSettings.Parse(null, null, null, null, Environment.CurrentDirectory)?.Directory;
        var model = OnnxFile.LoadHeaders(Path.GetFullPath(given));
        var request = new PlanRequest
        {
            Name = Path.GetFileNameWithoutExtension(given), Model = model.Path, Graph = model.Graph, Plan = Plan(parse, given), HighPrecision = parse.GetValue(_precision)!, ProjectDirectory = Environment.CurrentDirectory,
            TimingCaches = shared is null ? null : Path.Combine(shared, "timing"), Locks = shared is null ? null : Path.Combine(shared, "locks"),
        };
        var cache = request.TimingCaches is { } folder ? PlanBuilder.TimingCache(folder, trtExec.Version, GpuIdentity.Of(options.GpuDevice)) : null;
        var command = PlanCommand.Of(trtExec.Version, options, request, request.Plan, cache, null);
        found = found with { Command = [trtExec.Path, .. command.Build], MeasuredBy = command.Measure is null ? null : [trtExec.Path, .. command.Measure], Profiles = command.Profiles };
        if (parse.GetValue(_dryRun))
            return found;
        NvidiaDriver.Require(settings);
        var built = PlanBuilder.Build(trtExec, settings, options, request, log, cancellation);
        return found with { Plan = new TrtExecPlan(request.Plan, built.Bytes, built.Version.ToString(), built.ComputeCapability, built.Gpu, built.Seconds, built.Performance) };
    }

    protected override void Print(TrtExecResult result, IAnsiConsole console)
    {
        List<(string, string)> facts =
        [
            ("trtexec", result.Path), ("found by", result.Origin), ("TensorRT", result.Version), ("driver", result.Driver ?? "none: no engine can be built here"), ("GPU", result.Gpu ?? "none"),
        ];
        if (result.Plan is { } plan)
        {
            facts.Add(("plan", FormattableString.Invariant($"{plan.Path}, {Terminal.Megabytes(plan.Bytes)}, TensorRT {plan.Version}, built in {plan.Seconds:0.0} s on {plan.Gpu} ({plan.ComputeCapability})")));
            facts.Add(("speed", plan.Performance is { } speed ? FormattableString.Invariant($"{speed.Throughput:0.##} queries a second, {speed.Latency?.Median:0.###} ms each (median)") : "not measured"));
        }
        Terminal.Facts(console, [.. facts]);
        if (result is not { Plan: null, Command: { } command })
            return;
        Terminal.Line(console, CommandText.Of(command[0], command.Skip(1)));
        if (result.MeasuredBy is { } measured)
            Terminal.Line(console, CommandText.Of(measured[0], measured.Skip(1)));
    }

    private TensorRtOptions Wishes(ParseResult parse)
    {
        IReadOnlyList<string> Given(Option<string[]> option) => parse.GetValue(option) is { Length: > 0 } own ? own : parse.GetValue(_shapes) ?? [];
        return new TensorRtOptions
        {
            MinShapes = Given(_min), OptShapes = Given(_opt), MaxShapes = Given(_max), StronglyTyped = !parse.GetValue(_weaklyTyped), BuilderOptimizationLevel = parse.GetValue(_level), Workspace = parse.GetValue(_workspace),
            HardwareCompatibility = parse.GetValue(_hardware)!, VersionCompatible = parse.GetValue(_versionCompatible), StripWeights = parse.GetValue(_strip), Refit = parse.GetValue(_refit), GpuDevice = parse.GetValue(_device),
            MeasureEngine = parse.GetValue(_measure), TrtExecArguments = parse.GetValue(_arguments) ?? [],
        };
    }

    private string Plan(ParseResult parse, string model) => Path.GetFullPath(parse.GetValue(_output) ?? Path.ChangeExtension(model, ".plan"));

    private static Option<string[]> Shapes(string name, string description) => new(name) { Description = description, HelpName = "SHAPES" };
}
