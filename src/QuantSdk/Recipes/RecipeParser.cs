using System.Globalization;
using QuantSdk.Caching;
using QuantSdk.Calibration;
using QuantSdk.Runtime;

namespace QuantSdk.Recipes;

/// <summary>Item metadata to a <see cref="Recipe"/>: names and values are checked here, once, and every error lists what is allowed.</summary>
internal static class RecipeParser
{
    /// <summary>Metadata of design.md §4 that this version does not build yet: said, not ignored.</summary>
    private static readonly string[] Later =
    [
        "SampleAxis", "PerChannel"
    ];

    /// <summary>Metadata that only an engine of TensorRT reads.</summary>
    public static IReadOnlyList<string> OfTensorRt { get; } =
    [
        "Shapes", "MinShapes", "OptShapes", "MaxShapes", "StronglyTyped", "BuilderOptimizationLevel", "Workspace", "HardwareCompatibility", "VersionCompatible", "StripWeights", "Refit", "Sparsity",
        "ProfilingVerbosity", "LayerInfo", "Plugins", "TrtExecArguments", "GpuDevice", "CudaGraph", "MeasureEngine", "OnEngineFailure",
    ];

    /// <summary>Every metadata that is read.</summary>
    public static IReadOnlyList<string> Known { get; } =
    [
        "Name", "Precision", "Weights", "Activations", "BlockSize", "WeightZeroPoint", "Rounding", "CalibrationData", "ValidationData", "Scheduler", "Steps", "GuidanceScale", "Seed", "ConditionedBy", "SampleInput", "TimestepInput",
        "TimestepScale", "Calibrator", "Percentile", "Momentum", "Timesteps", "Collect", "CalibrationBatch", "SmoothQuant", "ConcatSplit", "BiasCorrection", "Level",
        "OptimizeFor", "Costs", "ExcludeModules", "Only", "Targets", "Portable", "Prepacked", "Cache", "CacheSpeedup", "CacheQuality", "ScheduleRows", "Hoist", "MinSqnr", "MinCosine", "MinSpeedup", "MaxSize", "OnGateFailure",
        "HighPrecision", .. OfTensorRt,
    ];

    /// <param name="auto">What Targets=auto stands for on this machine.</param>
    /// <exception cref="QuantSdkException">QSDK1020 (value), QSDK1021 (not built yet), QSDK1022 (unknown name).</exception>
    public static Recipe Parse(string name, IReadOnlyDictionary<string, string> metadata, params string[] auto)
    {
        var values = new Dictionary<string, string>(StringComparer.OrdinalIgnoreCase);
        foreach (var (key, value) in metadata)
        {
            if (value.Trim().Length == 0)
                continue;
            if (Later.Contains(key, StringComparer.OrdinalIgnoreCase))
                throw new QuantSdkException("QSDK1021", $"{name}: the metadata '{key}' is designed but not built in this version of QuantSdk. Remove it.");
            if (!Known.Contains(key, StringComparer.OrdinalIgnoreCase))
                throw new QuantSdkException("QSDK1022", $"{name}: the metadata '{key}' is unknown.{NearNames.Suggest(key, Known)} Allowed: {string.Join(", ", Known)}.");
            values[key] = value.Trim();
        }
        var defaults = new Recipe { Name = name };
        var precision = OneOf("Precision", defaults.Precision, Formats.OfPrecision);
        var (weights, activations) = Formats.Of(precision);
        var targets = TargetList();
        var recipe = defaults with
        {
            Precision = precision,
            Weights = OneOf("Weights", weights, Formats.OfWeights),
            Activations = OneOf("Activations", activations, Formats.OfActivations),
            BlockSize = values.ContainsKey("BlockSize") ? (int)Number("BlockSize", 0, 0, 1 << 20, whole: true) : null,
            WeightZeroPoint = Flag("WeightZeroPoint", defaults.WeightZeroPoint),
            Rounding = OneOf("Rounding", defaults.Rounding, ["auto", "nearest", "error"]),
            CalibrationData = List("CalibrationData"),
            ValidationData = List("ValidationData"),
            Scheduler = values.GetValueOrDefault("Scheduler"),
            Steps = (int)Number("Steps", defaults.Steps, 1, 10_000, whole: true),
            GuidanceScale = (float)Number("GuidanceScale", defaults.GuidanceScale, 0, 1000),
            Seed = (long)Number("Seed", defaults.Seed, 0, uint.MaxValue, whole: true),
            ConditionedBy = values.GetValueOrDefault("ConditionedBy"),
            SampleInput = values.GetValueOrDefault("SampleInput"),
            TimestepInput = values.GetValueOrDefault("TimestepInput"),
            TimestepScale = (float)Number("TimestepScale", defaults.TimestepScale, 1e-9, 1e9),
            Calibrator = OneOf("Calibrator", defaults.Calibrator, RangeEstimator.Names),
            Percentile = Number("Percentile", defaults.Percentile, 50, 100),
            Momentum = Number("Momentum", defaults.Momentum, 0, 0.9999),
            Timesteps = TimestepsValue(),
            Collect = OneOf("Collect", defaults.Collect, ["min-mean", "min-max", "mean-max", "global-min"]),
            CalibrationBatch = values.ContainsKey("CalibrationBatch") ? (int)Number("CalibrationBatch", 0, 1, 1 << 20, whole: true) : null,
            SmoothQuant = SmoothQuantValue(),
            ConcatSplit = Flag("ConcatSplit", defaults.ConcatSplit),
            BiasCorrection = Flag("BiasCorrection", defaults.BiasCorrection),
            Level = double.Parse(OneOf("Level", "3", ["1", "2", "2.5", "3", "4"]), CultureInfo.InvariantCulture),
            // Who asks for a size does not want layers left out for speed.
            OptimizeFor = OneOf("OptimizeFor", precision == "auto" && values.ContainsKey("MaxSize") ? "size" : defaults.OptimizeFor, ["speed", "size"]),
            Costs = values.GetValueOrDefault("Costs"),
            ExcludeModules = List("ExcludeModules"),
            Only = List("Only"),
            HighPrecision = HighPrecisionValue(),
            Targets = targets,
            TensorRt = TensorRtValues(),
            Portable = Flag("Portable", defaults.Portable),
            Prepacked = Flag("Prepacked", defaults.Prepacked),
            Cache = CacheValue(),
            CacheSpeedup = values.ContainsKey("CacheSpeedup") ? Number("CacheSpeedup", 0, 1.01, 2.99) : null,
            CacheQuality = values.ContainsKey("CacheQuality") ? Number("CacheQuality", 0, 1e-6, 10) : null,
            ScheduleRows = (int)Number("ScheduleRows", defaults.ScheduleRows, 0, 1 << 16, whole: true),
            Hoist = Flag("Hoist", defaults.Hoist),
            MinSqnr = values.ContainsKey("MinSqnr") ? Number("MinSqnr", 0, -100, 1000) : null,
            MinCosine = values.ContainsKey("MinCosine") ? Number("MinCosine", 0, -1, 1) : null,
            MinSpeedup = values.ContainsKey("MinSpeedup") ? Number("MinSpeedup", 0, 0.01, 1000) : null,
            OnGateFailure = OneOf("OnGateFailure", defaults.OnGateFailure, ["error", "warn", "fallback"]),
            OnEngineFailure = OneOf("OnEngineFailure", targets.Contains("tensorrt") && !AreGiven("Targets") ? "fallback" : defaults.OnEngineFailure, ["error", "fallback"]),
            MaxSize = values.ContainsKey("MaxSize") ? Number("MaxSize", 0, 0, 1e9) : null,
        };
        if (precision == "auto" && recipe.MinSqnr is null && recipe.MaxSize is null)
            throw new QuantSdkException("QSDK1020", $"{name}: Precision=auto needs to know what to aim at. Give MinSqnr (decibels that the engine must reach), MaxSize (megabytes that it may have), or both.");
        if (precision == "auto" && targets is ["tensorrt"])
            throw new QuantSdkException("QSDK1020", $"{name}: Precision=auto measures each choice, which a plan of TensorRT takes minutes to be built for. Add cpu or tensorrt-onnx to Targets: the choice is measured there, and the plan built of it.");
        if (recipe.OnEngineFailure == "fallback" && targets is ["tensorrt"])
            throw new QuantSdkException("QSDK1020", $"{name}: OnEngineFailure=fallback ships the other targets where the engine of TensorRT cannot be built, and there is none. Add cpu to Targets, or remove it.");
        if (precision == "auto" && (recipe.Weights == "float" || recipe.Activations == "float"))
            throw new QuantSdkException("QSDK1020", $"{name}: Precision=auto chooses between float and {weights}/{activations} layer by layer; Weights={recipe.Weights} with Activations={recipe.Activations} leaves it nothing to choose. Remove them, or choose another Precision.");
        if (recipe.MinSpeedup is not null && !recipe.Targets.Contains("cpu"))
            throw new QuantSdkException("QSDK1020", $"{name}: MinSpeedup is measured on the CPU, and Targets is {string.Join(", ", recipe.Targets)}. Add cpu, or remove MinSpeedup.");
        if (recipe.OnGateFailure != "error" && recipe is { MinSqnr: null, MinCosine: null, MinSpeedup: null, MaxSize: null })
            throw new QuantSdkException("QSDK1020", $"{name}: OnGateFailure={recipe.OnGateFailure} and no gate. Give MinSqnr, MinCosine, MinSpeedup or MaxSize, or remove it.");
        if (!recipe.Portable && !recipe.Prepacked)
            throw new QuantSdkException("QSDK1020", $"{name}: Portable=false and Prepacked=false leave nothing to ship. Drop one of them.");
        if (recipe.Level >= 4 && recipe.Activations is not ("fp8" or "mxfp8" or "nvfp4"))
            throw new QuantSdkException("QSDK1020", $"{name}: Level=4 quantises attention products, which needs fp8; Activations is '{recipe.Activations}'. Set Precision to fp8, or Level to 3.");
        if ((recipe.CacheSpeedup ?? recipe.CacheQuality) is not null && recipe.Cache != "auto")
            throw new QuantSdkException("QSDK1020", $"{name}: CacheSpeedup and CacheQuality choose among cuts, which only Cache=auto does. Remove them, or set Cache to auto.");
        if (recipe.CacheSpeedup is not null && recipe.CacheQuality is not null)
            throw new QuantSdkException("QSDK1020", $"{name}: CacheSpeedup and CacheQuality each choose a cut. Give one of them.");
        if (values.ContainsKey("ScheduleRows") && (recipe.Cache is null || recipe.Scheduler is null))
            throw new QuantSdkException("QSDK1020", $"{name}: ScheduleRows is read where schedules of full steps are searched, which takes Cache and Scheduler. Give them, or remove it.");
        if (recipe.Scheduler is null)
        {
            foreach (var needsScheduler in (string[])["Steps", "GuidanceScale"])
            {
                if (values.ContainsKey(needsScheduler))
                    throw new QuantSdkException("QSDK1020", $"{name}: {needsScheduler} is read only when calibrating by sampling. Set Scheduler to a scheduler_config.json, or remove it.");
            }
        }
        return recipe;

        IReadOnlyList<string> List(string key) =>
            values.TryGetValue(key, out var text) ? text.Split(';', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries) : [];

        string OneOf(string key, string fallback, IReadOnlyList<string> allowed)
        {
            if (!values.TryGetValue(key, out var text))
                return fallback;
            return allowed.FirstOrDefault(a => a.Equals(text, StringComparison.OrdinalIgnoreCase))
                ?? throw new QuantSdkException("QSDK1020", $"{name}: {key}='{text}' is not allowed.{NearNames.Suggest(text, allowed)} Allowed: {string.Join(", ", allowed)}.");
        }

        double Number(string key, double fallback, double least, double most, bool whole = false)
        {
            if (!values.TryGetValue(key, out var text))
                return fallback;
            if (!double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var number) || !(number >= least && number <= most) || (whole && number != Math.Floor(number)))
                throw new QuantSdkException("QSDK1020", string.Create(CultureInfo.InvariantCulture, $"{name}: {key}='{text}' is not {(whole ? "a whole number" : "a number")} from {least} to {most}."));
            return number;
        }

        bool Flag(string key, bool fallback) => OneOf(key, fallback ? "true" : "false", ["true", "false"]) == "true";

        string? CacheValue()
        {
            if (!values.TryGetValue("Cache", out var text) || text.Equals("none", StringComparison.OrdinalIgnoreCase))
                return null;
            try
            {
                return CacheCut.Parse(text).Kind == CutKind.Auto ? "auto" : text;
            }
            catch (QuantSdkException e)
            {
                throw new QuantSdkException(e.Code, $"{name}: {e.Message}");
            }
        }

        string SmoothQuantValue()
        {
            if (!values.TryGetValue("SmoothQuant", out var text))
                return defaults.SmoothQuant;
            return text.ToLowerInvariant() is var word and ("off" or "auto") ? word : Number("SmoothQuant", 0, 0, 1).ToString(CultureInfo.InvariantCulture);
        }

        string TimestepsValue()
        {
            var text = values.GetValueOrDefault("Timesteps") ?? defaults.Timesteps;
            try
            {
                return TimestepSelection.Parse(text).ToString();
            }
            catch (QuantSdkException e)
            {
                throw new QuantSdkException(e.Code, $"{name}: {e.Message}");
            }
        }

        IReadOnlyList<string> TargetList()
        {
            var chosen = new HashSet<string>();
            foreach (var target in (values.GetValueOrDefault("Targets") ?? "auto").Split([';', ','], StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
            {
                chosen.UnionWith(target.ToLowerInvariant() switch
                {
                    "auto" => auto.Length > 0 ? auto : ["cpu"],
                    "cpu" or "tensorrt" or "tensorrt-onnx" => [target.ToLowerInvariant()],
                    "cuda" => throw new QuantSdkException("QSDK1021", $"{name}: Targets: 'cuda' is designed but not built in this version of QuantSdk. Use cpu, tensorrt, or tensorrt-onnx for a Q/DQ model that trtexec takes."),
                    _ => throw new QuantSdkException("QSDK1020", $"{name}: Targets: '{target}' is not allowed. Allowed: auto, cpu, tensorrt, tensorrt-onnx."),
                });
            }
            // The runtime takes the first that works.
            return chosen.Count == 0 ? ["cpu"] : [.. ((string[])["tensorrt", "cpu", "tensorrt-onnx"]).Where(chosen.Contains)];
        }

        bool ForTensorRt() => targets.Any(t => t != "cpu");

        string HighPrecisionValue()
        {
            var value = OneOf("HighPrecision", "fp16", ["fp16", "bf16", "fp32"]);
            if (values.ContainsKey("HighPrecision") && value != "fp32" && !ForTensorRt() && AreGiven("Targets"))
                throw new QuantSdkException("QSDK1020", $"{name}: HighPrecision={value} is for engines of TensorRT, and Targets is {string.Join(", ", targets)}: on the CPU whatever is not quantised is float. Add tensorrt or tensorrt-onnx, or remove HighPrecision.");
            return ForTensorRt() ? value : "fp32";
        }

        // What auto stands for differs between machines: a project may say what is for one of them alone.
        bool AreGiven(string key) => values.TryGetValue(key, out var text) && !text.Contains("auto", StringComparison.OrdinalIgnoreCase);

        TensorRtOptions? TensorRtValues()
        {
            if (!targets.Contains("tensorrt"))
            {
                if (AreGiven("Targets") && OfTensorRt.FirstOrDefault(values.ContainsKey) is { } read)
                    throw new QuantSdkException("QSDK1020", $"{name}: {read} is read by engines of TensorRT alone, and Targets is {string.Join(", ", targets)}. Add tensorrt, or remove {read}.");
                return null;
            }
            var none = new TensorRtOptions();
            var options = none with
            {
                StronglyTyped = Flag("StronglyTyped", none.StronglyTyped),
                BuilderOptimizationLevel = values.ContainsKey("BuilderOptimizationLevel") ? (int)Number("BuilderOptimizationLevel", 0, 0, 5, whole: true) : null,
                Workspace = values.ContainsKey("Workspace") ? (int)Number("Workspace", 0, 1, 1 << 24, whole: true) : null,
                HardwareCompatibility = OneOf("HardwareCompatibility", none.HardwareCompatibility, ["none", "ampere+", "sameComputeCapability"]),
                VersionCompatible = Flag("VersionCompatible", none.VersionCompatible),
                StripWeights = Flag("StripWeights", none.StripWeights),
                Refit = Flag("Refit", none.Refit),
                Sparsity = OneOf("Sparsity", none.Sparsity, ["disable", "enable", "force"]),
                ProfilingVerbosity = OneOf("ProfilingVerbosity", none.ProfilingVerbosity, ["layer_names_only", "detailed", "none"]),
                LayerInfo = Flag("LayerInfo", none.LayerInfo),
                Plugins = List("Plugins"),
                TrtExecArguments = Arguments("TrtExecArguments"),
                GpuDevice = (int)Number("GpuDevice", none.GpuDevice, 0, 255, whole: true),
                CudaGraph = Flag("CudaGraph", none.CudaGraph),
                MeasureEngine = Flag("MeasureEngine", none.MeasureEngine),
            };
            string[] ranges = ["MinShapes", "OptShapes", "MaxShapes"];
            string[] given = [.. ranges.Where(values.ContainsKey)];
            if (values.ContainsKey("Shapes") && given.Length > 0)
                throw new QuantSdkException("QSDK1020", $"{name}: Shapes is MinShapes, OptShapes and MaxShapes in one, and {string.Join(" and ", given)} is given as well. Remove Shapes, or the others.");
            if (given.Length is 1 or 2)
                throw new QuantSdkException("QSDK1020", $"{name}: {string.Join(" and ", given)} without {string.Join(" and ", ranges.Except(given))}. Give all three, or Shapes where they are the same.");
            var (min, opt, max) = values.ContainsKey("Shapes") ? (List("Shapes"), List("Shapes"), List("Shapes")) : (List("MinShapes"), List("OptShapes"), List("MaxShapes"));
            if (min.Count != opt.Count || opt.Count != max.Count)
                throw new QuantSdkException("QSDK1020", $"{name}: MinShapes has {min.Count} profiles, OptShapes {opt.Count}, MaxShapes {max.Count} (profiles are separated by ';', the inputs of one by ','). Give as many of each.");
            return options with { MinShapes = min, OptShapes = opt, MaxShapes = max };
        }

        // By blanks, as on a command line; a value may hold some between double quotes.
        IReadOnlyList<string> Arguments(string key)
        {
            var words = new List<string>();
            if (!values.TryGetValue(key, out var text))
                return words;
            var (word, quoted, open) = (new System.Text.StringBuilder(), false, false);
            foreach (var c in text)
            {
                if (c == '"')
                    (quoted, open) = (!quoted, true);
                else if (!quoted && (char.IsWhiteSpace(c) || c == ';'))
                    Finish();
                else
                    (_, open) = (word.Append(c), true);
            }
            if (quoted)
                throw new QuantSdkException("QSDK1020", $"{name}: {key}='{text}' has a double quote that is not closed.");
            Finish();
            return words;

            void Finish()
            {
                if (open)
                    words.Add(word.ToString());
                word.Clear();
                open = false;
            }
        }
    }
}
