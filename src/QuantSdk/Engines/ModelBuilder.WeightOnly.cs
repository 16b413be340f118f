using Microsoft.ML.OnnxRuntime;
using QuantSdk.Calibration;
using QuantSdk.Engines.Streaming;
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
        var plans = recipe.Targets.Select(t => Phase("Quantize", () => Write(model, t == "tensorrt-onnx" ? "tensorrt" : t, folder))).ToArray();
        var first = recipe.Targets[0] == "cpu" ? "cpu" : "tensorrt";
        var (inputs, outputs) = Phase("BuildEngine", () => Ports(folder.Model(first)));
        var variants = recipe.Prepacked || !recipe.Targets.Contains("cpu")
            ? [.. Phase("BuildEngine", () => BuildEngines(recipe, recipe.Targets, null, folder, prepack: false)).Select(e => e.Variant)]
            : PortableVariants(recipe, folder);
        foreach (var target in recipe.Targets)
            _stages[target] = "built";
        var manifest = new Manifest
        {
            Name = recipe.Name,
            ToolVersion = typeof(ModelBuilder).Assembly.GetName().Version!.ToString(3),
            Precision = recipe.Precision,
            RecipeHash = HashOf(recipe),
            FloatBytes = model.Original.FileBytes,
            Inputs = [.. inputs.Select(p => p.Info)],
            Outputs = [.. outputs.Select(p => p.Info)],
            Roles = model.Roles,
            Variants = variants,
        };
        if (HasData(recipe))
            manifest = manifest with { Quality = Phase("Verify", () => VerifyWeightOnly(recipe, model, manifest, folder)) };
        var report = new BuildReport(
            1, recipe.Name, Path.GetFileName(_request.Model), recipe, model.Original.FileBytes, EngineBytes(variants), Directory.GetFiles(folder.Staging, "*", SearchOption.AllDirectories).Sum(f => new FileInfo(f).Length),
            plans[0].Layers.Count, 0, [], plans[0].Kept, manifest.Quality, _seconds) { Stages = _stages };
        return new BuiltModel(manifest, report, QuantSdkJson.Write(plans[0]), null, keys?.Model);
    }

    private Plan Write(WeightOnlyModel model, string target, EngineFolder folder)
    {
        var path = folder.Model(target);
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

    private static IReadOnlyList<EngineVariant> PortableVariants(Recipe recipe, EngineFolder folder) =>
        [.. recipe.Targets.Select(t => t == "cpu" ? new EngineVariant(t, "cpu/model.onnx", null, CpuLowering.DisabledOptimizers, folder.Files("cpu")) : new EngineVariant(t, "tensorrt/model.onnx", null, [], folder.Files("tensorrt")))];

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
