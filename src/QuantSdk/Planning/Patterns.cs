using System.Text.RegularExpressions;
using QuantSdk.Onnx;
using QuantSdk.Recipes;
using QuantSdk.Runtime;

namespace QuantSdk.Planning;

/// <summary>
/// Patterns of ExcludeModules and Only over module paths, node names and op types. A pattern matches a node if it equals its module path or
/// an ancestor of it, its name or its op type; <c>*</c> spans segments.
/// </summary>
internal sealed class Patterns
{
    private readonly Regex[] _expressions;

    private Patterns(IEnumerable<string> patterns) =>
        _expressions = [.. patterns.Select(p => new Regex("^" + Regex.Escape(p).Replace("\\*", ".*") + "$", RegexOptions.CultureInvariant | RegexOptions.NonBacktracking))];

    /// <exception cref="QuantSdkException">QSDK1023 for a pattern that matches nothing, with near names.</exception>
    public static Patterns Create(string metadata, IReadOnlyList<string> patterns, GraphProto graph, ModulePaths modules)
    {
        foreach (var pattern in patterns)
        {
            var single = new Patterns([pattern]);
            if (graph.Node.Any(n => single.Matches(n, modules[n])))
                continue;
            var names = graph.Node.SelectMany(n => Ancestors(modules[n]).Append(n.Name).Append(n.OpType)).Where(n => n.Length > 0).Distinct(StringComparer.Ordinal).ToArray();
            var suggestion = NearNames.Suggest(pattern, names);
            throw new QuantSdkException("QSDK1023", $"{metadata}: '{pattern}' matches no module path, node name or op type.{suggestion} `quantsdk inspect` lists the module paths.");
        }
        return new Patterns(patterns);
    }

    public bool Matches(NodeProto node, string module) => _expressions.Any(e => Names(node).Any(e.IsMatch) || e.IsMatch(node.OpType) || Ancestors(module).Any(e.IsMatch));

    /// <summary>The node's name, and that of the node of the user's model that it is a part of.</summary>
    private static IEnumerable<string> Names(NodeProto node) => node.MetadataProps.Where(p => p.Key == Rewrite.PartOf).Select(p => p.Value).Prepend(node.Name);

    private static IEnumerable<string> Ancestors(string module)
    {
        for (var end = module.Length; end > 0; end = module.LastIndexOf('.', end - 1))
            yield return module[..end];
    }
}
