using System.CommandLine;
using QuantSdk.Caching.Hoisting;
using QuantSdk.Engines;
using QuantSdk.Onnx;
using QuantSdk.Onnx.Upgrading;
using QuantSdk.Planning;
using QuantSdk.Recipes;
using QuantSdk.Rewriting;
using QuantSdk.Runtime;
using QuantSdk.Tool.Output;
using Spectre.Console;

namespace QuantSdk.Tool.Commands;

/// <summary>A model at a glance, and what quantising would do to it.</summary>
/// <param name="Ops">Nodes by op type, the most frequent first.</param>
/// <param name="Layers">What would run in 8 bits.</param>
/// <param name="Kept">What would be left alone, and why.</param>
/// <param name="Hoistable">Where Hoist would divide a denoiser.</param>
internal sealed record InspectResult(
    string Model, long Opset, string Producer, long Bytes, long Parameters, int Nodes, IReadOnlyList<TensorInfo> Inputs, IReadOnlyList<TensorInfo> Outputs, DiffusionRoles? Roles,
    IReadOnlyDictionary<string, int> Ops, IReadOnlyList<InspectedLayer> Layers, IReadOnlyList<Kept> Kept,
    IReadOnlyList<HoistedTensor> Hoistable);

/// <summary>A node that would run in 8 bits.</summary>
internal sealed record InspectedLayer(string Node, string Op, string Module, IReadOnlyList<long> Weight);

internal sealed class InspectCommand : StageCommand<InspectResult>
{
    private readonly ModelOptions _options;

    public InspectCommand()
        : base("inspect", "Shows a model: inputs, outputs, operators, and for each layer whether it would be quantised or left alone, and why.", """
            Nothing is run and nothing written. The module paths it lists are what --exclude-modules and --only take.

            Examples:
              quantsdk inspect unet.onnx
              quantsdk inspect unet.onnx --exclude-modules "mid_block*" --json
            """, ToolJson.Readable.InspectResult) =>
        _options = new ModelOptions(this, "MODEL", ["SampleInput", "TimestepInput", "ExcludeModules", "Only"]);

    protected override InspectResult Execute(ParseResult parse, IBuildLog log, CancellationToken cancellation)
    {
        var recipe = RecipeParser.Parse(Path.GetFileNameWithoutExtension(_options.Model(parse)), _options.Metadata(parse));
        var model = OnnxFile.Load(_options.Model(parse));
        var roles = Roles.Find(model, recipe);
        var simplified = Simplification.Simplify(Intake.Prepare(model, recipe));
        var placement = Placement.Decide(simplified, recipe, roles);
        var weights = simplified.Graph.Initializer.ToDictionary(t => t.Name, StringComparer.Ordinal);
        return new InspectResult(
            model.Path, model.Opset, $"{model.Proto.ProducerName} {model.Proto.ProducerVersion}".Trim(), model.FileBytes, model.Graph.Initializer.Sum(t => t.Count()), model.Graph.Node.Count,
            [.. new GraphView(model.Graph).Inputs.Select(Info)], [.. model.Graph.Output.Select(Info)], roles,
            model.Graph.Node.GroupBy(n => n.OpType, StringComparer.Ordinal).OrderByDescending(g => g.Count()).ThenBy(g => g.Key, StringComparer.Ordinal).ToDictionary(g => g.Key, g => g.Count()),
            [.. placement.Layers.Select(l => new InspectedLayer(l.Node.Label(), l.Op, l.Module, [.. weights[l.Weight].Dims]))], placement.Kept,
            roles is null ? [] : HoistFrontier.Find(new GraphView(simplified.Graph), roles));
    }

    protected override void Print(InspectResult result, IAnsiConsole console)
    {
        var products = result.Layers.Count + result.Kept.Count;
        Terminal.Facts(console,
            ("model", $"{Path.GetFileName(result.Model)}, {Terminal.Megabytes(result.Bytes)}, {result.Parameters:n0} parameters, {result.Nodes} nodes, opset {result.Opset}{(result.Producer.Length > 0 ? $", by {result.Producer}" : "")}"),
            ("inputs", string.Join(", ", result.Inputs.Select(Terminal.Tensor))),
            ("outputs", string.Join(", ", result.Outputs.Select(Terminal.Tensor))),
            ("operators", string.Join(", ", result.Ops.Select(o => $"{o.Key} {o.Value}"))),
            ("diffusion", result.Roles is { } roles ? $"sample {roles.Sample}, timestep {roles.Timestep}" : "no"),
            ("hoistable", HoistReport.Describe(result.Hoistable)),
            ("int8", $"{result.Layers.Count} of {products} layers"));
        if (products == 0)
            return;
        var rows = result.Layers.Select(l => (string[])[Label(l.Module, l.Node), l.Op, "int8", string.Join('×', l.Weight)])
            .Concat(result.Kept.Select(k => (string[])[Label(k.Module, k.Node), k.Op, "float", k.Reason]));
        Terminal.Table(console, ["module", "op", "precision", "weights, or why it is left alone"], rows);
    }

    private static string Label(string module, string node) => module.Length > 0 ? module : node;

    private static TensorInfo Info(ValueInfoProto value) => new(
        value.Name, ElementType.Name(value.Type?.TensorType?.ElemType ?? 0), [.. value.Type?.TensorType?.Shape?.Dim.Select(d => d.HasDimValue ? d.DimValue : -1) ?? []]);
}
