using System.Globalization;
using QuantSdk.Calibration;
using QuantSdk.Onnx;
using QuantSdk.Planning;
using QuantSdk.Recipes;
using QuantSdk.Runtime;

namespace QuantSdk.Caching;

/// <summary>
/// The cuts that a model allows, with what they save and what they cost: every tensor that leaves a block of the network or a part of
/// one; every top-level block as the first live one; every range of transformer blocks.
/// </summary>
internal static class CutSearch
{
    /// <summary>A live part that costs more is no gain.</summary>
    private const double MostCost = 0.9;

    /// <summary>Blocks up to which every range is tried.</summary>
    private const int ShortStack = 8;

    /// <summary>Speed-up that is aimed at where neither CacheSpeedup nor CacheQuality is given.</summary>
    private const double DefaultSpeedup = 2;

    /// <summary>A cut that can be made.</summary>
    internal sealed record Possible(CacheCut Cut, IReadOnlyList<CachedTensor> Tensors, double Cost);

    /// <param name="model">The simplified float model.</param>
    /// <param name="table">Measured kernels, or null.</param>
    /// <param name="int8">Layers run in int8.</param>
    /// <returns>Those whose live part saves something, the cheapest first; of cuts at the same tensors the first.</returns>
    public static IReadOnlyList<Possible> Enumerate(OnnxModel model, DiffusionRoles roles, CostTable? table, bool int8)
    {
        var view = new GraphView(model.Graph);
        var dependence = new ValueDependence(view, roles);
        var modules = new NodeModules(view, new ModulePaths(model.Graph), dependence);
        var costs = ProductCosts.Of(model.Proto);
        var found = new List<Possible>();
        var seen = new HashSet<string>(StringComparer.Ordinal);
        foreach (var cut in Cuts(view, modules, dependence))
        {
            IReadOnlyList<CachedTensor> tensors;
            try
            {
                tensors = Frontier.Find(model, roles, cut);
            }
            catch (QuantSdkException)
            {
                // Not every module is a place to cut.
                continue;
            }
            var cost = costs.TimeShare(Frontier.Live(view, tensors).Nodes, table, int8);
            if (cost <= MostCost && seen.Add(string.Join('\n', tensors.Select(t => $"{t.Name} {t.Base}"))))
                found.Add(new Possible(cut, tensors, cost));
        }
        return [.. found.OrderBy(f => f.Cost).ThenBy(f => f.Cut.ToString(), StringComparer.Ordinal)];
    }

    /// <param name="staleness">One for each cut, or null where none were measured.</param>
    public static IReadOnlyList<CutCandidate> Table(IReadOnlyList<Possible> cuts, IReadOnlyList<Staleness>? staleness) =>
        [.. cuts.Select((c, i) => new CutCandidate(
            c.Cut.ToString(), [.. c.Tensors.Select(t => t.Name)], Math.Round(c.Cost, 5), staleness is null ? null : Math.Round(staleness[i].Drift, 6), staleness is null ? null : Math.Round(staleness[i].Error, 6),
            Math.Round(Speedup(c.Cost), 3), staleness is not null && !Enumerable.Range(0, cuts.Count).Any(j => Dominates((cuts[j].Cost, staleness[j].Error), (c.Cost, staleness[i].Error))), false))];

    /// <summary>The candidate that the recipe asks for: with CacheQuality the cheapest of no more error, else the one with the least error that is fast enough.</summary>
    /// <exception cref="QuantSdkException">QSDK3071 where there is none.</exception>
    public static int Choose(IReadOnlyList<CutCandidate> candidates, Recipe recipe, string file)
    {
        var all = Enumerable.Range(0, candidates.Count);
        var target = recipe.CacheSpeedup ?? DefaultSpeedup;
        var allowed = all.Where(i => recipe.CacheQuality is { } most ? candidates[i].Error <= most : candidates[i].Speedup >= target).ToArray();
        if (allowed.Length == 0)
        {
            var best = candidates.Count == 0 ? "nothing in this model can be cut" : recipe.CacheQuality is not null
                ? string.Create(CultureInfo.InvariantCulture, $"the least error is {candidates.Min(c => c.Error):g3} (Cache={candidates.MinBy(c => c.Error)!.Cut})")
                : string.Create(CultureInfo.InvariantCulture, $"the most is {candidates.Max(c => c.Speedup):0.00} (Cache={candidates.MaxBy(c => c.Speedup)!.Cut})");
            var asked = recipe.CacheQuality is { } q ? string.Create(CultureInfo.InvariantCulture, $"CacheQuality={q}") : string.Create(CultureInfo.InvariantCulture, $"a speed-up of {target} with every third step full");
            throw new QuantSdkException("QSDK3071", $"{recipe.Name}: Cache=auto finds no cut for {asked}: {best}. Ask for less, or remove Cache.", file);
        }
        return recipe.CacheQuality is not null ? allowed.MinBy(i => (candidates[i].Cost, candidates[i].Error)) : allowed.MinBy(i => (candidates[i].Error, candidates[i].Cost));
    }

    private static bool Dominates((double Cost, double Error) a, (double Cost, double Error) b) => a.Cost <= b.Cost && a.Error <= b.Error && a != b;

    /// <summary>Of a loop with one full step in <see cref="CarriedTensors.Interval"/>.</summary>
    public static double Speedup(double cost) => CarriedTensors.Interval / (1 + (CarriedTensors.Interval - 1) * cost);

    private static IEnumerable<CacheCut> Cuts(GraphView view, NodeModules modules, ValueDependence dependence)
    {
        var parts = new List<string>();
        var known = new HashSet<string>(StringComparer.Ordinal);
        foreach (var path in view.Graph.Node.Where(dependence.OnSample).Select(n => modules[n]))
        {
            foreach (var part in Parts(path).Where(known.Add))
                parts.Add(part);
        }
        foreach (var part in parts)
            yield return new CacheCut(CutKind.Output, [part]);
        foreach (var part in parts.Where(p => p.Count(c => c == '.') == 1))
            yield return new CacheCut(CutKind.Live, [part]);
        var blocks = ResidualCut.Blocks(view, modules, dependence).Count;
        for (var first = 0; first < blocks; first++)
        {
            for (var last = first; last < blocks; last++)
            {
                // Of a long stack, ranges of every length: around the middle, from the front, up to the end.
                if (blocks <= ShortStack || first == (blocks - 1 - last + first) / 2 || first == 0 || last == blocks - 1)
                    yield return new CacheCut(CutKind.Blocks, [], first, last);
            }
        }
    }

    /// <summary><c>up_blocks.2</c> and <c>up_blocks.2.resnets.1</c> of <c>up_blocks.2.resnets.1.conv1</c>: up to the first and the second number.</summary>
    private static IEnumerable<string> Parts(string path)
    {
        var segments = path.Split('.');
        var numbers = 0;
        for (var i = 1; i < segments.Length && numbers < 2; i++)
        {
            if (segments[i].Length == 0 || !segments[i].All(char.IsAsciiDigit))
                continue;
            numbers++;
            yield return string.Join('.', segments[..(i + 1)]);
        }
    }
}
