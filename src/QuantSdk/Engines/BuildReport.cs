using QuantSdk.Caching;
using QuantSdk.Caching.Hoisting;
using QuantSdk.Engines.TensorRt;
using QuantSdk.Planning;
using QuantSdk.Quality;
using QuantSdk.Recipes;
using QuantSdk.Rewriting;
using QuantSdk.Runtime;

namespace QuantSdk.Engines;

/// <summary>What a build did, for a person or a script; stays in obj. The only file with timings.</summary>
/// <param name="Seconds">Wall time of each phase.</param>
/// <param name="MacShare">Share of the multiply-adds outside the built-in exclusions that run in int8 kernels.</param>
/// <param name="Costs">What each layer was predicted to cost in float and in int8, where that decided; for the batch that a step runs.</param>
/// <param name="Sensitivity">What each group of layers does alone, where Precision=auto chose by it.</param>
/// <param name="ShippedBytes">The whole folder.</param>
/// <param name="Cache">Where the model was cut for caching, or null.</param>
/// <param name="Hoisted">What is computed apart from the samples, or null where the recipe does not ask for it.</param>
internal sealed record BuildReport(
    int Schema, string Name, string Model, Recipe Recipe, long FloatBytes, long EngineBytes, long ShippedBytes, int Layers, double MacShare, IReadOnlyList<string> NotFused,
    IReadOnlyList<Kept> Kept, IReadOnlyList<OutputQuality> Quality, IReadOnlyDictionary<string, double> Seconds,
    IReadOnlyList<LayerCost>? Costs = null, Sensitivity? Sensitivity = null, CutReport? Cache = null, HoistReport? Hoisted = null)
{
    /// <summary>What each stage was: built, or taken from the store.</summary>
    public IReadOnlyDictionary<string, string>? Stages { get; init; }

    /// <summary>How many times faster than the float model, where MinSpeedup asked.</summary>
    public Speedup? Speedup { get; init; }

    /// <summary>Plans of TensorRT: the model's and its live part's.</summary>
    public IReadOnlyList<BuiltPlan>? Plans { get; init; }

    /// <summary>What stays in 32 bits of a graph for TensorRT in 16.</summary>
    public IReadOnlyList<FullPrecisionNode>? FullPrecision { get; init; }

    /// <summary>Gates that were missed and did not stop the build.</summary>
    public IReadOnlyList<string>? Missed { get; init; }
}

/// <summary>What a build returns.</summary>
/// <param name="Summary">One line: unet -> models/unet (int8, 10.9 → 3.8 MB, SQNR 27.4 dB).</param>
/// <param name="DiscoveredInputs">Files that were read and that the request does not name: external data of the models.</param>
/// <param name="PlanJson">plan.json, or null where nothing is quantised.</param>
/// <param name="Key">The model's in the store; null without one.</param>
internal sealed record BuildResult(string Summary, BuildReport Report, Manifest Manifest, string? PlanJson, IReadOnlyList<string> DiscoveredInputs, string? Key)
{
    private Plan? _plan;

    /// <summary>What was decided, or null.</summary>
    public Plan? Plan => PlanJson is null ? null : _plan ??= QuantSdkJson.Read<Plan>(PlanJson);
}
