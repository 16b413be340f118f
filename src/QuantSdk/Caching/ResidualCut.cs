using QuantSdk.Onnx;
using QuantSdk.Runtime;

namespace QuantSdk.Caching;

/// <summary>
/// The cut <c>blocks:I-J</c> of a transformer: for every stream that goes through the blocks (image, and text unless nothing reads it any more)
/// what the blocks add to it, r = out(J) − in(I), is cached, and the live part goes on with in(I) + r. Chen et al. 2024, "Δ-DiT", §3.2.
/// </summary>
internal static class ResidualCut
{
    /// <exception cref="QuantSdkException">QSDK3061 (no such block), QSDK3065 (a stream that is no sum with what came in).</exception>
    public static IReadOnlyList<CachedTensor> Find(GraphView view, NodeModules modules, ValueDependence dependence, CacheCut cut, string file)
    {
        var blocks = Blocks(view, modules, dependence);
        if (cut.Last >= blocks.Count)
            throw new QuantSdkException("QSDK3061", $"Cache='{cut}': {(blocks.Count == 0 ? "the model has no numbered blocks that depend on the sample" : $"the model has the blocks 0 to {blocks.Count - 1} ({blocks[0]} to {blocks[^1]})")}.", file);
        var range = blocks.Skip(cut.First).Take(cut.Last - cut.First + 1).ToHashSet(StringComparer.Ordinal);
        var inside = view.Graph.Node.Where(n => dependence.OnSample(n) && Block(modules[n]) is { } block && range.Contains(block)).ToHashSet<NodeProto>(ReferenceEqualityComparer.Instance);
        var leaving = view.Graph.Node.Where(inside.Contains).SelectMany(n => n.Output).Where(o => view.IsOutput(o) || view.Consumers(o).Any(c => !inside.Contains(c.Node) && !IsShape(c.Node)));
        var found = new List<CachedTensor>();
        foreach (var source in leaving)
        {
            var entry = Entry(view, inside, source) ?? throw new QuantSdkException("QSDK3065",
                $"Cache='{cut}': '{source}' leaves the blocks, but is no sum of what came in and what they add, so that there is no residual to cache. Blocks of one kind, or a cut with live: or tensor:, can be cached.", file, source);
            found.Add(new CachedTensor(source + "_residual", source, entry));
        }
        return found;
    }

    /// <summary>The blocks of the model's lists at the top, in the order in which they run: <c>transformer_blocks.0</c>, …</summary>
    public static IReadOnlyList<string> Blocks(GraphView view, NodeModules modules, ValueDependence dependence) =>
        [.. view.Graph.Node.Where(dependence.OnSample).Select(n => Block(modules[n])).OfType<string>().Distinct(StringComparer.Ordinal)];

    private static string? Block(string module) => Frontier.BlockOf(module) is { } block && block.Count(c => c == '.') == 1 ? block : null;

    /// <summary>The tensor from outside that the source is a sum of, walking back through additions alone; null where there is none.</summary>
    private static string? Entry(GraphView view, HashSet<NodeProto> inside, string source)
    {
        var open = new Stack<string>([source]);
        var entries = new HashSet<string>(StringComparer.Ordinal);
        while (open.TryPop(out var tensor))
        {
            if (view.Initializer(tensor) is not null)
                continue;
            if (view.Producer(tensor) is not { } node || !inside.Contains(node))
                entries.Add(tensor);
            else if (node.Is("Add"))
            {
                foreach (var input in node.Input)
                    open.Push(input);
            }
            else if (node.Is("Cast") && node.Int("to", 0) == (int)TensorProto.Types.DataType.Float)
            {
                // Exporters write what is cast to 32 bits where it is that already.
                open.Push(node.Input[0]);
            }
        }
        return entries.Count == 1 ? entries.Single() : null;
    }

    private static bool IsShape(NodeProto node) => node.Is("Shape") || node.Is("Size");
}
