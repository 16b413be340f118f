using QuantSdk.Onnx;
using QuantSdk.Onnx.Upgrading;
using QuantSdk.Planning;
using QuantSdk.Recipes;
using QuantSdk.Rewriting;
using QuantSdk.Runtime;

namespace QuantSdk.Engines.Streaming;

/// <summary>
/// A float model of any size on its way to one with few bits a weight: the graph in memory, the weights where they are. What simplifying
/// would compute from weights or by running the model is left to the runtime.
/// </summary>
internal sealed class WeightOnlyModel
{
    private readonly OnnxModel _prepared;
    private readonly WeightView _view;
    private readonly Recipe _recipe;
    private readonly Placement _placement;

    private WeightOnlyModel(OnnxModel original, OnnxModel prepared, Recipe recipe)
    {
        (Original, _prepared, _recipe) = (original, prepared, recipe);
        _view = new WeightView(prepared);
        Roles = Planning.Roles.Find(original, recipe);
        _placement = Placement.Decide(_view.Planned, recipe, Roles);
        if (_placement.Layers.Count == 0)
            throw new QuantSdkException("QSDK3003", $"{recipe.Name}: no weight can be quantised ({(_placement.Kept.Count == 0 ? "there is no Conv, ConvTranspose, Gemm or MatMul" : string.Join("; ", _placement.Kept.GroupBy(k => k.Reason).Select(g => $"{g.Count()} {g.Key}")))}). Set Precision to none to ship it in float.", original.Path);
    }

    /// <summary>As it is on disk.</summary>
    public OnnxModel Original { get; }

    public DiffusionRoles? Roles { get; }

    /// <exception cref="QuantSdkException">Whatever is wrong with the model; QSDK3001 where it cannot be upgraded, QSDK3003 where nothing can be quantised.</exception>
    public static WeightOnlyModel Open(string path, Recipe recipe)
    {
        var original = OnnxFile.LoadHeaders(path);
        var upgraded = OpsetUpgrade.To(original, OpsetUpgrade.Needed(recipe));
        var prepared = Intake.WithoutDefaults(ReferenceEquals(upgraded, original) ? original with { Proto = original.Proto.Clone() } : upgraded);
        var graph = prepared.Graph;
        foreach (var node in graph.Node)
            node.ClearDocString();
        NodeNames.MakeUnique(graph);
        ConstantFolding.LiftConstants(graph);
        Identities.Remove(graph);
        DeadCode.Remove(graph);
        return new WeightOnlyModel(original, prepared, recipe);
    }

    /// <summary>Writes the model for a target.</summary>
    /// <param name="target">cpu or tensorrt.</param>
    /// <returns>What was decided.</returns>
    /// <exception cref="QuantSdkException">QSDK1004 where it cannot be written, QSDK3040 for a weight without a range.</exception>
    public Plan Write(string target, string path, string dataPath, int threads, Action<long, long>? progress, CancellationToken cancellation)
    {
        var plan = WeightOnlyPlanner.Make(_view.Planned, _placement, _recipe, target);
        var graph = WeightOnlyGraph.Lower(_prepared, _view, plan, target, searchClip: _recipe.Weights != "int8" && _recipe.Rounding != "nearest");
        using var reader = new TensorReader(Original.Path);
        new StreamedModelWriter(reader, threads).Write(graph, path, dataPath, progress, cancellation);
        return plan;
    }
}
