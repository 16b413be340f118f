using System.CommandLine;
using QuantSdk.Engines;
using QuantSdk.Engines.TensorRt.Rules;
using QuantSdk.Onnx;
using QuantSdk.Tool.Output;
using Spectre.Console;

namespace QuantSdk.Tool.Commands;

/// <summary>What of a model breaks the rules of a target.</summary>
/// <param name="Rules">How many rules were looked at.</param>
/// <param name="Findings">Errors first.</param>
internal sealed record CheckResult(string Model, string Target, int Rules, int Errors, int Warnings, IReadOnlyList<RuleFinding> Findings);

internal sealed class CheckCommand : StageCommand<CheckResult>
{
    private readonly Argument<string> _model = new("MODEL") { Description = "An ONNX model, from any tool." };
    private readonly Option<string> _target = new("--target") { Description = "tensorrt.", DefaultValueFactory = _ => "tensorrt" };

    public CheckCommand()
        : base("check", "Lists what a target would refuse in a model, compute otherwise than ONNX says, or run slower than it could.", """
            Nothing is run. It ends with 1 where there are errors; docs/tensorrt.md lists the rules.

            Examples:
              quantsdk check --target tensorrt models/unet/tensorrt/model.onnx
              quantsdk check model.onnx --json
            """, ToolJson.Readable.CheckResult)
    {
        _target.AcceptOnlyFromAmong("tensorrt");
        Add(_model);
        Add(_target);
    }

    protected override CheckResult Execute(ParseResult parse, IBuildLog log, CancellationToken cancellation)
    {
        var model = OnnxFile.Load(parse.GetRequiredValue(_model));
        var findings = GraphRules.Check(model.Proto);
        var errors = findings.Count(f => f.Severity == "error");
        return new CheckResult(model.Path, parse.GetRequiredValue(_target), GraphRules.All.Count, errors, findings.Count - errors, findings);
    }

    protected override int ExitCodeOf(CheckResult result) => result.Errors > 0 ? ExitCode.Failed : ExitCode.Done;

    protected override void Print(CheckResult result, IAnsiConsole console)
    {
        foreach (var finding in result.Findings)
            Terminal.Line(console, $"{finding.Severity}: {finding}");
        Terminal.Line(console, $"{Path.GetFileName(result.Model)}: {result.Errors} errors and {result.Warnings} warnings by {result.Rules} rules for {result.Target}.");
    }
}
