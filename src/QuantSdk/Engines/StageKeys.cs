using QuantSdk.Planning;
using QuantSdk.Recipes;
using QuantSdk.Store;

namespace QuantSdk.Engines;

/// <summary>
/// The key of each stage's result: of what it reads, and of the results to its left. Names, gates and paths are in none:
/// they are put in, or checked, where a result is used.
/// </summary>
/// <param name="Calibration">What was observed, and the cut that Cache=auto chose. The same for every CPU, unless the cut was chosen by its times.</param>
/// <param name="TensorRtPlan">Of the plan for targets of TensorRT, where costs on a CPU decide the other one.</param>
/// <param name="Engines">Of the lowered and optimised model, by target.</param>
/// <param name="Model">Of everything together.</param>
internal sealed record StageKeys(string Calibration, string Plan, string TensorRtPlan, string Rounding, IReadOnlyDictionary<string, string> Engines, string Quality, string Model)
{
    private static readonly Recipe Defaults = new() { Name = "" };

    public static StageKeys Of(Recipe recipe, InputContents inputs, BuildPlatform platform)
    {
        var cpuClass = CpuClass.Of(platform.Cpu);
        // Where the cost of layers decides: what it is looked up in.
        string Costs(bool apply) => apply ? $"{cpuClass} {inputs.Costs}" : "";
        var calibration = StoreKey.Of(
            "calibration", BuildPlatform.Tool, platform.OnnxRuntime, QuantSdkJson.Write(ReadByCalibration(recipe)), inputs.Model, inputs.Conditioner ?? "", inputs.Calibration,
            recipe.ValidationData.Count > 0 ? "validation rows are given" : "", inputs.Scheduler ?? "", Costs(recipe.Cache == "auto"));
        var plan = StoreKey.Of("plan", calibration, QuantSdkJson.Write(ReadByPlan(recipe)), Costs(CostAwarePlacement.Applies(recipe)), recipe.Weights == "int4" && recipe.Targets.Any(t => t != "cpu") ? "blocks of TensorRT" : "");
        var tensorRtPlan = CostAwarePlacement.ApartForTensorRt(recipe) ? StoreKey.Of("plan", calibration, QuantSdkJson.Write(ReadByPlan(recipe)), "", "") : plan;
        var rounding = recipe.Weights is "int4" or "int2" ? StoreKey.Of("rounding", plan, recipe.Targets.Any(t => t != "cpu") ? "positive scales" : "") : plan;
        // An engine whose formats are chosen by its quality is a function of what that is judged by.
        var judged = recipe.Precision == "auto" ? QuantSdkJson.Write(recipe with { Name = "", CalibrationData = [], ValidationData = [], Scheduler = null, ConditionedBy = null, Costs = null }) + inputs.Validation : "";
        var engines = recipe.Targets.ToDictionary(
            t => t, t => StoreKey.Of("engine", t == "cpu" || tensorRtPlan == plan ? rounding : tensorRtPlan, t, QuantSdkJson.Write(ReadByEngine(recipe, t)), judged, t == "cpu" ? platform.Cpu : t == "tensorrt" ? platform.TensorRt + inputs.Plugins : ""), StringComparer.Ordinal);
        var quality = StoreKey.Of("quality", [.. engines.Values, QuantSdkJson.Write(ReadByQuality(recipe)), inputs.Validation, platform.Cpu]);
        return new StageKeys(calibration, plan, tensorRtPlan, rounding, engines, quality, StoreKey.Of("model", quality));
    }

    /// <summary>The recipe with everything that calibration does not read as it is by default; files stand in the key by their content.</summary>
    internal static Recipe ReadByCalibration(Recipe recipe) => Defaults with
    {
        Precision = recipe.Precision,
        Weights = recipe.Weights,
        Activations = recipe.Activations,
        BlockSize = recipe.BlockSize,
        Steps = recipe.Steps,
        GuidanceScale = recipe.GuidanceScale,
        Seed = recipe.Seed,
        SampleInput = recipe.SampleInput,
        TimestepInput = recipe.TimestepInput,
        TimestepScale = recipe.TimestepScale,
        Calibrator = recipe.Calibrator,
        Percentile = recipe.Percentile,
        Momentum = recipe.Momentum,
        Timesteps = recipe.Timesteps,
        Collect = recipe.Collect,
        CalibrationBatch = recipe.CalibrationBatch,
        ConcatSplit = recipe.ConcatSplit,
        Level = recipe.Level,
        ExcludeModules = recipe.ExcludeModules,
        Only = recipe.Only,
        Cache = recipe.Cache,
        CacheSpeedup = recipe.CacheSpeedup,
        CacheQuality = recipe.CacheQuality,
    };

    /// <summary>What planning reads beyond that.</summary>
    internal static Recipe ReadByPlan(Recipe recipe) => Defaults with
    {
        WeightZeroPoint = recipe.WeightZeroPoint,
        Rounding = recipe.Rounding,
        SmoothQuant = recipe.SmoothQuant,
        BiasCorrection = recipe.BiasCorrection,
        OptimizeFor = recipe.OptimizeFor,
    };

    /// <summary>What lowering and optimising for a target read beyond that.</summary>
    internal static Recipe ReadByEngine(Recipe recipe, string target) => target switch
    {
        "cpu" => Defaults with { Portable = recipe.Portable, Prepacked = recipe.Prepacked, Hoist = recipe.Hoist },
        "tensorrt" => Defaults with { HighPrecision = recipe.HighPrecision, TensorRt = recipe.TensorRt! with { Plugins = [] } },
        _ => Defaults with { HighPrecision = recipe.HighPrecision },
    };

    /// <summary>What measuring reads beyond that.</summary>
    internal static Recipe ReadByQuality(Recipe recipe) => Defaults with { ScheduleRows = recipe.ScheduleRows };
}
