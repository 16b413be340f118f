using System.Globalization;
using QuantSdk.Recipes;
using QuantSdk.Runtime;

namespace QuantSdk.Planning;

/// <summary>
/// Precision=auto: which groups are quantised and which stay in float, found from their single errors, which are taken to add up, and
/// corrected by what engines built that way really have. With MinSqnr as many multiply-adds as possible are quantised, those with the least
/// error a multiply-add first; with MaxSize as few bytes as needed are saved, those with the least error a byte first; with both, all of
/// them that MinSqnr allows, in that order.
/// </summary>
/// <param name="Quantised">Indices of the groups in few bits.</param>
/// <param name="Errors">The sum of errors that may be reached at each output.</param>
/// <param name="BytesToSave">By all weights together.</param>
internal sealed record AutoPrecision(Recipe Recipe, Plan All, Sensitivity Sensitivity, IReadOnlySet<int> Quantised, double Errors, long BytesToSave)
{
    /// <summary>Engines that are built and measured at most; each has at least a decibel less than the last, or is smaller by what was missing.</summary>
    public const int MostRounds = 8;

    /// <param name="all">Every layer quantised that can be.</param>
    /// <param name="floatBytes">Of the model in float, as it would be shipped.</param>
    public static AutoPrecision Choose(Plan all, Sensitivity sensitivity, Recipe recipe, long floatBytes)
    {
        var errors = recipe.MinSqnr is { } least ? Math.Pow(10, -least / 10) : double.PositiveInfinity;
        return new AutoPrecision(recipe, all, sensitivity, new HashSet<int>(), errors, Math.Max(0, floatBytes - MostBytes(recipe))).Chosen();
    }

    /// <summary>Whether an engine is what was asked for.</summary>
    /// <param name="sqnr">Of the worst output, in dB.</param>
    public bool IsMet(double sqnr, long bytes) => !(sqnr < Recipe.MinSqnr) && bytes <= MostBytes(Recipe);

    /// <summary>The next choice, after an engine made of this one missed.</summary>
    /// <exception cref="QuantSdkException">QSDK5011 where no choice is small enough.</exception>
    public AutoPrecision Next(double sqnr, long bytes, string model)
    {
        // Less error only means more bytes: what is too large now stays too large with MinSqnr.
        if (bytes > MostBytes(Recipe) && (Recipe.MinSqnr is not null || Quantised.Count == Sensitivity.Groups.Count))
        {
            throw new QuantSdkException("QSDK5011", string.Create(CultureInfo.InvariantCulture,
                $"{Recipe.Name}: no choice of formats has at most {Recipe.MaxSize} MB (MaxSize){(Recipe.MinSqnr is { } least ? $" and reaches {least} dB (MinSqnr)" : "")}: with {Quantised.Count} of {Sensitivity.Groups.Count} groups of layers in {Formats} the engine has {bytes / 1e6:0.###} MB{(Recipe.MinSqnr is null ? ", the least" : "")}. Raise MaxSize{(Recipe.MinSqnr is null ? "" : ", lower MinSqnr")}, or quantise more: fewer ExcludeModules, or Precision=int4 for weights alone."), model);
        }
        if (bytes > MostBytes(Recipe))
            return (this with { BytesToSave = BytesToSave + bytes - MostBytes(Recipe) }).Chosen();
        // Engines round more than the layers' inputs; how much more was just measured.
        var allowed = Math.Pow(10, -Recipe.MinSqnr!.Value / 10);
        var tighter = Errors * Math.Min(allowed / Math.Pow(10, -sqnr / 10), Math.Pow(10, -0.1));
        var next = (this with { Errors = tighter }).Chosen();
        // The predicted sum lies below the bound: only a bound below that sum changes anything.
        return next.Quantised.SetEquals(Quantised) ? (next with { Errors = Math.Min(tighter, 0.999 * Predicted) }).Chosen() : next;
    }

    /// <summary>Sum of the single errors at the worst output.</summary>
    public double Predicted => Sum(Quantised);

    /// <summary>The plan with the groups that were not chosen among what is kept, and why.</summary>
    public Plan Plan
    {
        get
        {
            var left = new Dictionary<string, string>(StringComparer.Ordinal);
            for (var g = 0; g < Sensitivity.Groups.Count; g++)
            {
                if (Quantised.Contains(g))
                    continue;
                foreach (var layer in Sensitivity.Groups[g].Layers)
                    left[layer] = Reason(Sensitivity.Groups[g]);
            }
            return All with
            {
                Layers = [.. All.Layers.Where(l => !left.ContainsKey(l.Node))],
                Kept = [.. All.Kept, .. All.Layers.Where(l => left.ContainsKey(l.Node)).Select(l => new Kept(l.Node, l.Op, l.Module, left[l.Node], false, l.Macs))],
            };
        }
    }

    /// <summary>What was chosen, in a line.</summary>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture,
        $"Precision=auto: {Quantised.Count} of {Sensitivity.Groups.Count} groups of layers in {Formats}, {100.0 * Share(g => g.Macs):0.0} % of the multiply-adds of all that can be; the sum of their single errors predicts {-10 * Math.Log10(Math.Max(Predicted, 1e-20)):0.0} dB");

    private string Formats => $"{Recipe.Weights}/{Recipe.Activations}";

    private static long MostBytes(Recipe recipe) => recipe.MaxSize is { } megabytes ? (long)(megabytes * 1e6) : long.MaxValue;

    private double Share(Func<GroupSensitivity, long> of) => Quantised.Sum(g => of(Sensitivity.Groups[g])) / (double)Math.Max(1, Sensitivity.Groups.Sum(of));

    private string Reason(GroupSensitivity group) => string.Create(CultureInfo.InvariantCulture,
        $"kept in float by Precision=auto: quantised {(group.Layers.Count > 1 ? $"with the other {group.Layers.Count - 1} that read its input or share its weight" : "alone")} it leaves {group.SqnrDb:0.0} dB, {(Recipe.MinSqnr is { } least ? $"too little beside the others for {least} dB (MinSqnr)" : "and MaxSize is met without")}");

    private double Sum(IReadOnlySet<int> groups) => Sensitivity.Outputs.Select((_, o) => groups.Sum(g => Sensitivity.Groups[g].Errors[o])).DefaultIfEmpty().Max();

    private AutoPrecision Chosen()
    {
        var bySize = Recipe.MaxSize is not null;
        double Cost(GroupSensitivity g) => g.Error / Math.Max(1, bySize ? g.BytesSaved : g.Macs);
        var order = Enumerable.Range(0, Sensitivity.Groups.Count).OrderBy(g => Cost(Sensitivity.Groups[g]));
        var chosen = new HashSet<int>();
        var sums = new double[Sensitivity.Outputs.Count];
        long saved = 0;
        foreach (var g in order)
        {
            if (bySize && Recipe.MinSqnr is null && saved >= BytesToSave)
                break;
            var group = Sensitivity.Groups[g];
            // A group that is too much leaves room for those behind it.
            if (sums.Where((sum, o) => sum + group.Errors[o] > Errors).Any())
                continue;
            chosen.Add(g);
            saved += group.BytesSaved;
            for (var o = 0; o < sums.Length; o++)
                sums[o] += group.Errors[o];
        }
        return this with { Quantised = chosen };
    }
}
