using System.Globalization;
using QuantSdk.Caching;
using QuantSdk.Calibration;
using QuantSdk.Onnx;
using QuantSdk.Planning;
using QuantSdk.Recipes;
using QuantSdk.Runtime;

namespace QuantSdk.Engines;

/// <summary>Cache=auto: every cut that the model allows, its cost and what it does along calibration trajectories, and the one that the recipe asks for.</summary>
internal static class CutStage
{
    /// <param name="model">The simplified float model.</param>
    /// <param name="reference">The float model, open.</param>
    /// <param name="conditioner">The model of ConditionedBy, open, or null.</param>
    /// <param name="costs">What Costs names; null: the shipped table.</param>
    /// <param name="scratch">A folder for the model with its extra outputs.</param>
    /// <exception cref="QuantSdkException">QSDK3070 where there is no sampler to measure drift with, QSDK3071 where no cut is what was asked for.</exception>
    public static (CacheCut Cut, IReadOnlyList<CutCandidate> Candidates) Choose(
        BuildRequest request, Recipe recipe, OnnxModel model, DiffusionRoles roles, ModelSession reference, ModelSession? conditioner, CostTable? costs, string scratch, IBuildLog log, CancellationToken cancellation)
    {
        var (cuts, table) = Measure(request, recipe, model, roles, reference, conditioner, costs, scratch, log, cancellation);
        if (table.All(c => c.Error is null) && table.Count > 0)
            throw new QuantSdkException("QSDK3070", $"{recipe.Name}: Cache=auto measures how much deep features change from step to step, which needs a sampler: set Scheduler to a scheduler_config.json, and CalibrationData to the conditioning. Or name a cut; `quantsdk cut` lists them.", request.Model);
        var chosen = CutSearch.Choose(table, recipe, request.Model);
        log.Detail(string.Create(CultureInfo.InvariantCulture, $"Cache=auto: {table[chosen].Cut} (live part {table[chosen].Cost:p1}, error {table[chosen].Error:p2} with features one step old) of {table.Count} cuts"));
        return (cuts[chosen], [.. table.Select((c, i) => c with { Chosen = i == chosen })]);
    }

    /// <summary>All candidates, the cheapest first; with their errors where the recipe has a sampler.</summary>
    public static (IReadOnlyList<CacheCut> Cuts, IReadOnlyList<CutCandidate> Candidates) Measure(
        BuildRequest request, Recipe recipe, OnnxModel model, DiffusionRoles roles, ModelSession reference, ModelSession? conditioner, CostTable? costs, string scratch, IBuildLog log, CancellationToken cancellation)
    {
        var cuts = CutSearch.Enumerate(model, roles, costs ?? CostTable.Shipped(CpuClass.Of(CpuFeatures.Current)), recipe.Weights == "int8" && recipe.Activations is "int8" or "int8-dynamic");
        IReadOnlyList<Staleness>? staleness = null;
        if (recipe.Scheduler is not null && cuts.Count > 0 && CalibrationInputs.Read(request, recipe with { Cache = recipe.Cache ?? "auto" }, reference.Inputs, roles, conditioner, log).Trajectories is { } trajectories)
            staleness = StaleFeatures.Measure(model, roles, [.. cuts.Select(c => c.Cut)], trajectories, scratch, request.Threads, (done, total) => log.Progress("Calibrate", done, total), cancellation);
        return ([.. cuts.Select(c => c.Cut)], CutSearch.Table(cuts, staleness));
    }
}
