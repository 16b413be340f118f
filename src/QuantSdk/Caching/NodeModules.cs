using QuantSdk.Onnx;

namespace QuantSdk.Caching;

/// <summary>
/// The module of every node, also of those that an exporter's optimiser wrote and gave none: it is what the nearest nodes before and after
/// that have one have in common. Nothing for a node between two blocks.
/// </summary>
internal sealed class NodeModules
{
    private readonly Dictionary<NodeProto, string> _paths = new(ReferenceEqualityComparer.Instance);

    public NodeModules(GraphView view, ModulePaths named, ValueDependence dependence)
    {
        var before = new Dictionary<NodeProto, string>(ReferenceEqualityComparer.Instance);
        foreach (var node in view.Graph.Node)
            before[node] = named[node].Length > 0 ? named[node] : node.Input.Where(dependence.OnSample).Select(view.Producer).OfType<NodeProto>().Select(p => before[p]).FirstOrDefault(p => p.Length > 0) ?? "";
        var after = new Dictionary<NodeProto, string>(ReferenceEqualityComparer.Instance);
        foreach (var node in view.Graph.Node.Reverse())
            after[node] = named[node].Length > 0 ? named[node] : node.Output.SelectMany(view.Consumers).Select(c => after[c.Node]).FirstOrDefault(p => p.Length > 0) ?? "";
        foreach (var node in view.Graph.Node)
            _paths[node] = named[node].Length > 0 || !dependence.OnSample(node) ? named[node] : Common(before[node], after[node]);
    }

    public string this[NodeProto node] => _paths[node];

    private static string Common(string a, string b)
    {
        string[] left = a.Split('.'), right = b.Split('.');
        var shared = 0;
        while (shared < left.Length && shared < right.Length && left[shared] == right[shared])
            shared++;
        return string.Join('.', left[..shared]);
    }
}
