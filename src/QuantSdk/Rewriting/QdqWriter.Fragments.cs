using QuantSdk.Onnx;
using QuantSdk.Runtime;

namespace QuantSdk.Rewriting;

/// <summary>Fragments of graph, as the formats that are not integers write them, put into the graph under free names.</summary>
internal sealed partial class QdqWriter
{
    private readonly long _opset;
    private readonly Dictionary<string, List<TensorProto>> _shared = new(StringComparer.Ordinal);
    private readonly Dictionary<(string, string), string> _fragments = [];
    private readonly Dictionary<NodeProto, IReadOnlyList<NodeProto>> _replacements = new(ReferenceEqualityComparer.Instance);

    /// <summary>The file that the model came from.</summary>
    public string Path { get; }

    /// <summary>A constant of the graph.</summary>
    public TensorProto Initializer(string name) => _view.Initializer(name)!;

    /// <exception cref="QuantSdkException">QSDK3001 where the model's operator set is older than a format needs.</exception>
    public void Require(long opset, string format)
    {
        if (_opset < opset)
            throw new QuantSdkException("QSDK3001", $"'{Path}' uses opset {_opset}; the format {format} needs {opset} or newer. Export the model again with that opset.", Path);
    }

    /// <summary>Adds a fragment that reads <paramref name="tensor"/>, once a key; returns the name of its result.</summary>
    public string Insert(string tensor, string key, Func<Fragment> make)
    {
        if (_fragments.TryGetValue((tensor, key), out var output))
            return output;
        var fragment = Adopt(make());
        foreach (var node in fragment.Nodes)
            After(tensor, node);
        return _fragments[(tensor, key)] = fragment.Output;
    }

    /// <summary>Puts a fragment in the place of a node of one output: its first node takes the node's name, its result that of the output.</summary>
    public void Replace(NodeProto node, Fragment fragment)
    {
        fragment = Adopt(fragment);
        fragment.Nodes[0].Name = node.Name;
        var last = fragment.Nodes.Single(n => n.Output.Contains(fragment.Output));
        last.Output[last.Output.IndexOf(fragment.Output)] = node.Output[0];
        _replacements[node] = fragment.Nodes;
    }

    /// <summary>The fragment with names that are free in this graph, its constants among the graph's: equal ones are there once.</summary>
    private Fragment Adopt(Fragment fragment)
    {
        var names = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var constant in fragment.Initializers)
            names[constant.Name] = Shared(constant);
        foreach (var node in fragment.Nodes)
        {
            for (var i = 0; i < node.Input.Count; i++)
                node.Input[i] = names.GetValueOrDefault(node.Input[i], node.Input[i]);
            for (var i = 0; i < node.Output.Count; i++)
                node.Output[i] = names[node.Output[i]] = Unique(node.Output[i], "");
            node.Name = node.Output[0];
            if (node.Domain.Length > 0 && Model.OpsetImport.All(o => o.Domain != node.Domain))
                Model.OpsetImport.Add(new OperatorSetIdProto { Domain = node.Domain, Version = 1 });
        }
        return fragment with { Output = names[fragment.Output] };
    }

    private string Shared(TensorProto constant)
    {
        if (!_shared.TryGetValue(constant.Name, out var named))
            _shared[constant.Name] = named = [];
        if (named.FirstOrDefault(t => t.DataType == constant.DataType && t.Dims.Equals(constant.Dims) && t.RawData.Equals(constant.RawData)) is { } equal)
            return equal.Name;
        named.Add(constant);
        constant.Name = Unique(constant.Name, "");
        _initializers.Add(constant);
        return constant.Name;
    }
}
