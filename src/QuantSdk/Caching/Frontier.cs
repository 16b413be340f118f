using QuantSdk.Onnx;
using QuantSdk.Planning;
using QuantSdk.Recipes;
using QuantSdk.Runtime;

namespace QuantSdk.Caching;

/// <summary>
/// The tensors at which a cut divides a graph: those that cross from cached modules into live ones and whose value depends on the sample.
/// What depends on timestep, prompt or constants alone is computed in the live part too, whatever module it is named after.
/// </summary>
internal static class Frontier
{
    /// <param name="model">The simplified float model.</param>
    /// <returns>In the order of the graph.</returns>
    /// <exception cref="QuantSdkException">
    /// QSDK1023 (a pattern matches nothing), QSDK3061 (no such tensor or block), QSDK3062 (a tensor off the path from sample to output),
    /// QSDK3063 (the live part would not depend on sample or timestep), QSDK3064 (nothing is cached), QSDK3065 (a stream without residual).
    /// </exception>
    public static IReadOnlyList<CachedTensor> Find(OnnxModel model, DiffusionRoles roles, CacheCut cut)
    {
        var view = new GraphView(model.Graph);
        var named = new ModulePaths(model.Graph);
        var dependence = new ValueDependence(view, roles);
        var modules = new NodeModules(view, named, dependence);
        IReadOnlyList<CachedTensor> found = cut.Kind switch
        {
            CutKind.Live => Plain(Crossing(view, dependence, LiveCut(view, modules, dependence, Match(cut, model.Graph, named)))),
            CutKind.Cached => Plain(Crossing(view, dependence, Matched(model.Graph, modules, Match(cut, model.Graph, named)))),
            CutKind.Output => Plain(OutputsOf(view, modules, Match(cut, model.Graph, named), dependence, cut, model.Path)),
            CutKind.Tensor => Plain(Named(view, dependence, cut, model.Path)),
            CutKind.Blocks => ResidualCut.Find(view, modules, dependence, cut, model.Path),
            _ => throw new ArgumentException("auto is resolved before", nameof(cut)),
        };
        if (found.Count == 0)
            throw new QuantSdkException("QSDK3064", $"Cache='{cut}' leaves nothing to cache: no tensor that depends on the sample passes from cached modules into live ones. `quantsdk cut` lists what can be cut.", model.Path);
        Check(view, roles, dependence, cut, found, model.Path);
        return found;

        static IReadOnlyList<CachedTensor> Plain(IEnumerable<string> tensors) => [.. tensors.Select(t => new CachedTensor(t, t))];
    }

    /// <summary>The nodes of the live part: everything that the outputs need when the cached tensors are given.</summary>
    public static BackwardSlice Live(GraphView view, IReadOnlyList<CachedTensor> cached, IEnumerable<string>? outputs = null)
    {
        var given = cached.Select(c => c.Source).ToHashSet(StringComparer.Ordinal);
        return BackwardSlice.Of(view, (outputs ?? view.Graph.Output.Select(o => o.Name)).Concat(cached.Select(c => c.Base).OfType<string>()), given);
    }

    private static Patterns Match(CacheCut cut, GraphProto graph, ModulePaths modules) => Patterns.Create("Cache", cut.Names, graph, modules);

    private static HashSet<NodeProto> Matched(GraphProto graph, NodeModules modules, Patterns patterns) =>
        graph.Node.Where(n => patterns.Matches(n, modules[n])).ToHashSet<NodeProto>(ReferenceEqualityComparer.Instance);

    /// <summary>
    /// The cached nodes where the live modules are named: not these, not what follows them, and not what lies between the sample and the
    /// first block (conv_in, a patch embedding), so that the new sample still flows in.
    /// </summary>
    private static HashSet<NodeProto> LiveCut(GraphView view, NodeModules modules, ValueDependence dependence, Patterns patterns)
    {
        var live = Matched(view.Graph, modules, patterns);
        var following = view.DependentOn(live.Where(dependence.OnSample).SelectMany(n => n.Output).Where(dependence.OnSample));
        var blocks = view.Graph.Node.Where(n => dependence.OnSample(n) && BlockOf(modules[n]) is not null);
        var behindBlocks = view.DependentOn(blocks.SelectMany(n => n.Output).Where(dependence.OnSample));
        var cached = view.Graph.Node.Where(n => dependence.OnSample(n) && !live.Contains(n) && !n.Output.Any(following.Contains) && n.Output.Any(behindBlocks.Contains)).ToHashSet<NodeProto>(ReferenceEqualityComparer.Instance);
        // A skip connection joins where the block around calls its part: what only live modules read is put together in the live part.
        cached.RemoveWhere(n => n.Is("Concat") && view.Consumers(n.Output[0]).All(c => !cached.Contains(c.Node)));
        return cached;
    }

    /// <summary><c>down_blocks.0</c> of <c>down_blocks.0.resnets.1.conv1</c>: the part of a module path up to the first number, or null.</summary>
    public static string? BlockOf(string module)
    {
        var segments = module.Split('.');
        for (var i = 1; i < segments.Length; i++)
        {
            if (segments[i].Length > 0 && segments[i].All(char.IsAsciiDigit))
                return string.Join('.', segments[..(i + 1)]);
        }
        return null;
    }

    /// <summary>What cached nodes write, depends on the sample and is needed where only the rest runs.</summary>
    private static IReadOnlyList<string> Crossing(GraphView view, ValueDependence dependence, HashSet<NodeProto> cached)
    {
        var crossing = view.Graph.Node.Where(cached.Contains).SelectMany(n => n.Output)
            .Where(o => dependence.OnSample(o) && view.Consumers(o).Any(c => !cached.Contains(c.Node) && !IsShape(c.Node))).ToHashSet(StringComparer.Ordinal);
        BackwardSlice slice;
        // A shape that the live part reads of what is cached makes that cached too.
        while (true)
        {
            slice = BackwardSlice.Of(view, view.Graph.Output.Select(o => o.Name), crossing);
            var shaped = slice.Nodes.Where(IsShape).Select(n => n.Input[0]).Where(t => view.Producer(t) is { } p && cached.Contains(p) && dependence.OnSample(t)).ToArray();
            if (!shaped.Aggregate(false, (any, t) => crossing.Add(t) || any))
                break;
        }
        return [.. view.Graph.Node.SelectMany(n => n.Output).Where(o => crossing.Contains(o) && slice.Read.Contains(o))];
    }

    private static bool IsShape(NodeProto node) => node.Is("Shape") || node.Is("Size");

    private static IReadOnlyList<string> OutputsOf(GraphView view, NodeModules modules, Patterns patterns, ValueDependence dependence, CacheCut cut, string file)
    {
        var inside = Matched(view.Graph, modules, patterns);
        var tensors = inside.SelectMany(n => n.Output).Where(o => dependence.OnSample(o) && view.Consumers(o).Any(c => !inside.Contains(c.Node) && !IsShape(c.Node))).ToHashSet(StringComparer.Ordinal);
        if (tensors.Count == 0)
            throw new QuantSdkException("QSDK3062", $"Cache='{cut}': no tensor that depends on the sample leaves the module for another one. Name a module on the path from the sample to the output.", file);
        return [.. view.Graph.Node.SelectMany(n => n.Output).Where(tensors.Contains)];
    }

    private static IReadOnlyList<string> Named(GraphView view, ValueDependence dependence, CacheCut cut, string file)
    {
        foreach (var name in cut.Names)
        {
            if (view.Producer(name) is null)
                throw new QuantSdkException("QSDK3061", $"Cache='{cut}': '{name}' is no tensor that a node of the simplified model writes.{NearNames.Suggest(name, view.Graph.Node.SelectMany(n => n.Output))} `quantsdk cut` lists candidates.", file, name);
            if (!dependence.OnSample(name))
                throw new QuantSdkException("QSDK3062", $"Cache='{cut}': the value of '{name}' does not depend on the sample, so that caching it saves nothing: what depends on timestep and prompt alone is computed at every step. Name a tensor on the path from the sample to the output.", file, name);
        }
        return [.. view.Graph.Node.SelectMany(n => n.Output).Where(cut.Names.Contains)];
    }

    private static void Check(GraphView view, DiffusionRoles roles, ValueDependence dependence, CacheCut cut, IReadOnlyList<CachedTensor> cached, string file)
    {
        foreach (var tensor in cached.Select(c => c.Source))
        {
            if (view.IsOutput(tensor))
                throw new QuantSdkException("QSDK3063", $"Cache='{cut}' cuts at '{tensor}', which the model returns: the live part would compute nothing of it. Cut deeper in the model.", file, tensor);
        }
        var slice = Live(view, cached);
        if (cached.FirstOrDefault(c => !slice.Read.Contains(c.Source)) is { } off)
            throw new QuantSdkException("QSDK3062", $"Cache='{cut}': '{off.Source}' is not needed by the live part: no output of the model depends on it, or only through other cached tensors. Leave it out.", file, off.Source);
        foreach (var (role, input) in ((string, string)[])[("sample", roles.Sample), ("timestep", roles.Timestep)])
        {
            if (!Reaches(view, slice, cached, input))
                throw new QuantSdkException("QSDK3063", $"Cache='{cut}' leaves a live part that does not depend on the {role} input '{input}': every cached step would return the same. Cut deeper in the model, so that new values still flow in.", file, input);
        }
    }

    /// <summary>True where an output's value depends on the input in the live part: reading its shape is not enough.</summary>
    private static bool Reaches(GraphView view, BackwardSlice slice, IReadOnlyList<CachedTensor> cached, string input)
    {
        var reached = new HashSet<string>(StringComparer.Ordinal) { input };
        var bases = cached.Where(c => c.Base is not null).ToDictionary(c => c.Source, c => c.Base!, StringComparer.Ordinal);
        foreach (var node in view.Graph.Node.Where(n => slice.Nodes.Contains(n) && !IsShape(n)))
        {
            if (node.Input.Concat(GraphView.Captured(node)).Any(i => reached.Contains(bases.GetValueOrDefault(i, i))))
                reached.UnionWith(node.Output.Where(o => o.Length > 0));
        }
        return view.Graph.Output.Any(o => reached.Contains(o.Name));
    }
}
