using System.Text.RegularExpressions;

namespace QuantSdk.Onnx;

/// <summary>
/// The dotted module path of each node: <c>down_blocks.0.resnets.0.conv1</c>. The TorchScript exporter writes it into node names
/// (<c>/u/down_blocks.0/resnets.0/conv1/Conv</c>), the dynamo exporter into the metadata property of name scopes.
/// Leading segments that nearly all named nodes share (the exporter's wrapper) are dropped.
/// </summary>
internal sealed partial class ModulePaths
{
    private const string ScopesKey = "pkg.torch.onnx.name_scopes";
    private readonly Dictionary<NodeProto, string> _paths = new(ReferenceEqualityComparer.Instance);

    public ModulePaths(GraphProto graph)
    {
        var raw = graph.Node.Select(n => (Node: n, Path: RawPath(n))).ToList();
        var named = raw.Where(r => r.Path.Length > 0).Select(r => r.Path.Split('.')).ToList();
        var shared = 0;
        while (named.Count > 1)
        {
            // A wrapper holds nearly every node; a block of the network does not.
            var first = named.Where(p => p.Length > shared).GroupBy(p => p[shared], StringComparer.Ordinal).MaxBy(g => g.Count());
            if (first is null || first.Count() < named.Count * 0.97)
                break;
            // "blocks" is a list, not a wrapper: its name belongs to the numbers behind it.
            if (first.Any(p => p.Length == shared + 1 ? named.Count < 8 : p[shared + 1].All(char.IsAsciiDigit)))
                break;
            named = [.. first];
            shared++;
        }
        var prefix = shared == 0 ? [] : named[0][..shared];
        foreach (var (node, path) in raw)
        {
            var segments = path.Split('.');
            var common = 0;
            while (common < prefix.Length && common < segments.Length && segments[common] == prefix[common])
                common++;
            _paths[node] = string.Join('.', segments[common..]);
        }
    }

    /// <summary>The module path, empty for a node that carries none.</summary>
    public string this[NodeProto node] => _paths.GetValueOrDefault(node, "");

    private static string RawPath(NodeProto node)
    {
        foreach (var property in node.MetadataProps)
        {
            if (property.Key == ScopesKey)
                return LastScope(property.Value);
        }
        if (!node.Name.StartsWith('/'))
            return "";
        var end = node.Name.LastIndexOf('/');
        return end <= 0 ? "" : node.Name[1..end].Replace('/', '.');
    }

    /// <summary>The value is a printed Python list, ['', 'u', 'u.down_blocks.0', 'conv_node']: the last entry names the node, the one before it the module.</summary>
    private static string LastScope(string value)
    {
        var scopes = QuotedRegex().Matches(value).Select(m => m.Groups[1].Value).ToArray();
        return scopes.Length >= 2 ? scopes[^2] : "";
    }

    [GeneratedRegex("'([^']*)'")]
    private static partial Regex QuotedRegex();
}
