using QuantSdk.Caching;
using QuantSdk.Caching.Hoisting;
using QuantSdk.Calibration;
using QuantSdk.Engines.TensorRt;
using QuantSdk.Planning;
using QuantSdk.Rewriting;
using QuantSdk.Runtime;

namespace QuantSdk.Engines;

/// <summary>A model whose files are in the staging folder, with what is said about it.</summary>
/// <param name="Key">In the store; null without one.</param>
internal sealed record BuiltModel(Manifest Manifest, BuildReport Report, string? PlanJson, string? CalibrationJson, string? Key)
{
    /// <summary>The plan for TensorRT, where it is another than the CPU's.</summary>
    public string? TensorRtPlanJson { get; init; }
}

/// <summary>What running the float model on its data gave.</summary>
/// <param name="Cut">Where it is cut for caching, resolved; null: nowhere.</param>
/// <param name="Table">Null where nothing is quantised.</param>
internal sealed record ObservedModelData(string? Cut, IReadOnlyList<CutCandidate>? Candidates, CalibrationTable? Table, IReadOnlyDictionary<string, ChannelSample>? Samples)
{
    /// <summary>The data, where they are open already.</summary>
    public CalibrationInputs? Inputs { get; init; }

    /// <summary>The model as it was observed, where it was.</summary>
    public CachedModel? Cached { get; init; }
}

/// <summary>The plan, and what each layer was predicted to cost where that decided.</summary>
internal sealed record PlannedModel(Plan Plan, IReadOnlyList<LayerCost> Costs);

/// <summary>The engine of one target.</summary>
/// <param name="Fused">Which layers run in few bits; of the cpu.</param>
internal sealed record BuiltEngine(EngineVariant Variant, FusedLayers? Fused, HoistReport? Hoisted)
{
    /// <summary>The plan of TensorRT and that of the live part.</summary>
    public IReadOnlyList<BuiltPlan>? Plans { get; init; }

    /// <summary>What stays in 32 bits of a graph for TensorRT in 16.</summary>
    public IReadOnlyList<FullPrecisionNode>? FullPrecision { get; init; }
}

/// <summary>A model's inputs and outputs, which are the same in every engine of it.</summary>
internal sealed record ModelEnds(IReadOnlyList<TensorInfo> Inputs, IReadOnlyList<TensorInfo> Outputs);

/// <summary>What was measured on the engines.</summary>
internal sealed record MeasuredModel(IReadOnlyList<OutputQuality> Quality, CutReport? Cut, CacheInfo? Cache);
