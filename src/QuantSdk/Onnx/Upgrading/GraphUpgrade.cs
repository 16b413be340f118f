using QuantSdk.Engines;
using QuantSdk.Rewriting;
using QuantSdk.Runtime;

namespace QuantSdk.Onnx.Upgrading;

/// <summary>The walk over a model that <see cref="OpsetUpgrade"/> makes: every graph, every node, every change between two versions.</summary>
internal sealed class GraphUpgrade
{
    private readonly ModelProto _model;
    private readonly string _path;
    private readonly long _from, _to;
    private readonly UniqueNames _names;
    private readonly Lazy<IReadOnlyDictionary<string, TypeProto.Types.Tensor>> _types, _simplifiedTypes;

    public GraphUpgrade(ModelProto model, string path, long from, long to)
    {
        (_model, _path, _from, _to) = (model, path, from, to);
        // Asked for the first time in the middle of the walk: what is inferred is inferred from the model as it came.
        var before = model.Clone();
        _types = new(() => TypeInference.Infer(before));
        // Exporters compute the shapes that they reshape to; where those are folded, the rank of what follows is known.
        _simplifiedTypes = new(() => TypeInference.Infer(Simplification.Simplify(new OnnxModel(before, path, [])).Proto));
        _names = new UniqueNames(model.Graph);
    }

    public void Run() => Upgrade(new GraphScope(_model.Graph, null));

    public string UniqueName(string stem) => _names.Make(stem);

    public TypeProto.Types.Tensor? TypeOf(string tensor) =>
        _types.Value.GetValueOrDefault(tensor) is { Shape: not null } known ? known : _simplifiedTypes.Value.GetValueOrDefault(tensor) ?? _types.Value.GetValueOrDefault(tensor);

    public QuantSdkException Refusal(NodeProto node, long version, string why) => new(
        "QSDK3001", $"'{_path}' uses opset {_from} and has to be upgraded to {_to}, but the node '{node.Label()}' cannot be: {node.OpType} changed in opset {version}, and {why}. Export the model again with opset {_to} or newer.", _path, node.Label());

    private void Upgrade(GraphScope scope)
    {
        var nodes = new List<NodeProto>(scope.Graph.Node.Count);
        foreach (var node in scope.Graph.Node)
        {
            foreach (var body in node.Bodies())
                Upgrade(new GraphScope(body, scope));
            if (node.Domain is not ("" or "ai.onnx"))
            {
                nodes.Add(node);
                continue;
            }
            var upgrade = new NodeUpgrade(this, scope, node);
            // The operator may become another on the way (Upsample, Resize), so the next change is looked up anew.
            for (var at = _from; OpChanges.Next(node.OpType, at, _to) is { } change; at = change.Version)
            {
                upgrade.Version = change.Version;
                change.Adapt(upgrade);
            }
            nodes.AddRange(upgrade.Before);
            nodes.Add(node);
            nodes.AddRange(upgrade.After);
        }
        scope.Graph.Node.Clear();
        scope.Graph.Node.Add(nodes);
    }
}
