using Microsoft.ML.OnnxRuntime;
using QuantSdk.Calibration;
using QuantSdk.Engines.Streaming;
using QuantSdk.Onnx;
using QuantSdk.Planning;
using QuantSdk.Quality;
using QuantSdk.Recipes;
using QuantSdk.Rewriting;
using QuantSdk.Runtime;

namespace QuantSdk.Engines;

/// <summary>The way through the stages when only weights are quantised: nothing to observe, weights streamed from file to file.</summary>
internal sealed partial class ModelBuilder
{
    /// <summary>With data, rounding can look at what layers read; without, weights stream from file to file.</summary>
    private static bool Streams(Recipe recipe) =>
        WeightOnlyPlanner.Applies(recipe) && !(recipe.Weights is "int4" or "int2" && recipe.Rounding is "auto" or "error" && (recipe.CalibrationData.Count > 0 || recipe.Scheduler is not null));

    private void CheckStreaming(Recipe recipe)
    {
        if (recipe.Cache is not null)
            throw new QuantSdkException("QSDK3069", $"{recipe.Name}: Cache='{recipe.Cache}' and {recipe.Weights} weights with float activations: weights are then streamed from file to file, and the graph is not cut. Give CalibrationData with Rounding=auto, choose another Precision, or remove Cache.", _request.Model);
        if (recipe.Hoist)
            throw new QuantSdkException("QSDK3082", $"{recipe.Name}: Hoist=true and {recipe.Weights} weights with float activations: weights are then streamed from file to file, and the graph is not divided. Give CalibrationData with Rounding=auto, choose another Precision, or remove Hoist.", _request.Model);
        if (!HasData(recipe) && (recipe.MinSqnr ?? recipe.MinCosine) is not null)
            throw new QuantSdkException("QSDK2001", $"{recipe.Name}: MinSqnr and MinCosine need ValidationData or CalibrationData to be measured on; quantising weights alone needs none.", _request.Model);
    }

    private static bool HasData(Recipe recipe) => recipe.CalibrationData.Count > 0 || recipe.ValidationData.Count > 0;

    private BuiltModel MakeWeightOnly(Recipe recipe, StageKeys? keys, EngineFolder folder)
    {
        var model = Phase("Quantize", () => WeightOnlyModel.Open(_request.Model, recipe));
        _discovered.UnionWith(model.Original.ExternalFiles);
        // Two targets of TensorRT are one graph.
        var plans = recipe.Targets.Select(t => IsTensorRt(t) ? "tensorrt" : t).Distinct().Select(t => Phase("Quantize", () => t == "cpu" ? Write(model, t, folder.Model(t)) : WriteTensorRt(recipe, model, folder))).OfType<Plan>().ToArray();
        var (inputs, outputs) = Phase("BuildEngine", () => Ports(recipe.Targets.Contains("cpu") ? folder.Model("cpu") : GraphOf(recipe, folder)));
        var ends = new ModelEnds([.. inputs.Select(p => p.Info)], [.. outputs.Select(p => p.Info)]);
        var targets = recipe.Prepacked ? recipe.Targets : [.. recipe.Targets.Where(t => t != "cpu")];
        var engines = Phase("BuildEngine", () => BuildEngines(recipe, targets, null, folder, ends, prepack: false));
        IReadOnlyList<EngineVariant> variants = [.. recipe.Targets.Select(t => engines.FirstOrDefault(e => e.Variant.Target == t)?.Variant ?? (t == "cpu" ? new EngineVariant("cpu", "cpu/model.onnx", null, CpuLowering.DisabledOptimizers, folder.Files("cpu")) : null)).OfType<EngineVariant>()];
        foreach (var target in recipe.Targets)
            _stages[target] = "built";
        var manifest = new Manifest
        {
            Name = recipe.Name,
            ToolVersion = typeof(ModelBuilder).Assembly.GetName().Version!.ToString(3),
            Precision = recipe.Precision,
            RecipeHash = HashOf(recipe),
            FloatBytes = model.Original.FileBytes,
            Inputs = ends.Inputs,
            Outputs = ends.Outputs,
            Roles = model.Roles,
            Variants = variants,
        };
        if (HasData(recipe))
            manifest = manifest with { Quality = Phase("Verify", () => VerifyWeightOnly(recipe, model, manifest, folder)) };
        var report = new BuildReport(
            1, recipe.Name, Path.GetFileName(_request.Model), recipe, model.Original.FileBytes, EngineBytes(variants), Directory.GetFiles(folder.Staging, "*", SearchOption.AllDirectories).Sum(f => new FileInfo(f).Length),
            plans[0].Layers.Count, 0, [], plans[0].Kept, manifest.Quality, _seconds)
        {
            Stages = _stages,
            Plans = engines.FirstOrDefault(e => e.Plans is not null)?.Plans,
            FullPrecision = recipe.Targets.Any(IsTensorRt) ? _fullPrecision : null,
        };
        return new BuiltModel(manifest, report, QuantSdkJson.Write(plans[0]), null, keys?.Model);
    }

    /// <summary>In the types of the recipe: streamed in 32 bits first, from which the rest follows tensor by tensor.</summary>
    private Plan? WriteTensorRt(Recipe recipe, WeightOnlyModel model, EngineFolder folder)
    {
        Plan? plan = null;
        TryTensorRt(recipe, () => plan = Stream());
        return _engineFailure is null || recipe.Targets.Contains("tensorrt-onnx") ? plan : null;

        Plan Stream()
        {
            var streamed = Path.Combine(folder.Scratch, "streamed.onnx");
            var streamedPlan = Write(model, "tensorrt", streamed);
            WriteTensorRt(recipe, InTypes(recipe, OnnxFile.Load(streamed).Proto, AmaxTable.Empty), folder);
            return streamedPlan;
        }
    }

    private Plan Write(WeightOnlyModel model, string target, string path)
    {
        return model.Write(target, path, Path.ChangeExtension(path, ".data"), _request.Threads, Progress, _cancellation);

        // Megabytes: a count of bytes would not fit.
        void Progress(long done, long total) => _log.Progress("Quantize", (int)(done >> 20), (int)(total >> 20));
    }

    /// <summary>Inputs and outputs as ONNX Runtime sees them. Nothing is optimised or packed, so weights stay on disk.</summary>
    /// <exception cref="QuantSdkException">QSDK4001 where ONNX Runtime refuses the graph.</exception>
    private static (IReadOnlyList<Port>, IReadOnlyList<Port>) Ports(string path)
    {
        var settings = new SessionSettings { Threads = 1, Optimisation = GraphOptimizationLevel.ORT_DISABLE_ALL, Entries = new Dictionary<string, string> { ["session.disable_prepacking"] = "1" } };
        try
        {
            using var session = ModelSession.Open(path, settings);
            return (session.Inputs, session.Outputs);
        }
        catch (OnnxRuntimeException e)
        {
            throw new QuantSdkException("QSDK4001", $"ONNX Runtime {ModelSession.OnnxRuntimeVersion} does not load the model: {e.Message}", path, inner: e);
        }
    }

    /// <summary>Quality where the float model can be run beside the quantised one.</summary>
    private IReadOnlyList<OutputQuality> VerifyWeightOnly(Recipe recipe, WeightOnlyModel model, Manifest manifest, EngineFolder folder)
    {
        var memory = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;
        if (model.Original.FileBytes * 2 > memory)
        {
            if ((recipe.MinSqnr ?? recipe.MinCosine) is not null)
                throw new QuantSdkException("QSDK5004", $"{recipe.Name}: the float model has {model.Original.FileBytes >> 20} MB and this machine {memory >> 20} MB of memory: too little to run it, and MinSqnr and MinCosine cannot be checked. Build on a larger machine, or remove the gates.", _request.Model);
            _log.Warning("QSDK5004", $"{recipe.Name}: the float model has {model.Original.FileBytes >> 20} MB and this machine {memory >> 20} MB of memory: too little to run it, and the quality is not measured.", _request.Model);
            return [];
        }
        var judged = recipe with { CalibrationData = recipe.CalibrationData.Count > 0 ? recipe.CalibrationData : recipe.ValidationData };
        using var reference = ReferenceModel.Open(Load(_request.Model), _request.Threads);
        using var conditioning = _request.ConditionedBy is null ? null : ReferenceModel.Open(Load(_request.ConditionedBy), _request.Threads);
        var inputs = CalibrationInputs.Read(_request, judged, reference.Session.Inputs, model.Roles, conditioning?.Session, _log);
        return inputs.HeldOut is { } heldOut ? Verify(recipe, manifest, reference.Session, heldOut, folder) : [];
    }
}
