using System.Security.Cryptography;
using System.Text;
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
    private BuildResult RunWeightOnly(Recipe recipe)
    {
        TargetSupport.Check(recipe);
        var hasData = recipe.CalibrationData.Count > 0 || recipe.ValidationData.Count > 0;
        if (!hasData && (recipe.MinSqnr ?? recipe.MinCosine) is not null)
            throw new QuantSdkException("QSDK2001", $"{recipe.Name}: MinSqnr and MinCosine need ValidationData or CalibrationData to be measured on; quantising weights alone needs none.", _request.Model);
        using var folder = new EngineFolder(_request.Output);
        var model = Phase("Quantize", () => WeightOnlyModel.Open(_request.Model, recipe));
        _discovered.UnionWith(model.Original.ExternalFiles);
        var plans = recipe.Targets.Select(t => Phase("Quantize", () => Write(model, t == "tensorrt-onnx" ? "tensorrt" : t, folder))).ToArray();
        var first = recipe.Targets[0] == "cpu" ? "cpu" : "tensorrt";
        var (inputs, outputs) = Phase("BuildEngine", () => Ports(folder.Model(first)));
        var (variants, _) = recipe.Prepacked || !recipe.Targets.Contains("cpu")
            ? Phase("BuildEngine", () => BuildEngines(recipe, null, folder, new EngineForm(Prepacked: false)))
            : (PortableVariants(recipe, folder), null);
        var manifest = new Manifest
        {
            Name = recipe.Name,
            ToolVersion = typeof(ModelBuilder).Assembly.GetName().Version!.ToString(3),
            Precision = recipe.Precision,
            RecipeHash = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(QuantSdkJson.Write(recipe)))),
            FloatBytes = model.Original.FileBytes,
            Inputs = [.. inputs.Select(p => p.Info)],
            Outputs = [.. outputs.Select(p => p.Info)],
            Roles = model.Roles,
            Variants = variants,
        };
        if (hasData)
            manifest = manifest with { Quality = Phase("Verify", () => VerifyWeightOnly(recipe, model, manifest, folder)) };
        Gates.Check(recipe, manifest.Quality, EngineBytes(variants), _request.Model);
        ManifestFile.Write(Path.Combine(folder.Staging, "manifest.json"), manifest);
        _cancellation.ThrowIfCancellationRequested();
        var report = new BuildReport(
            1, recipe.Name, Path.GetFileName(_request.Model), recipe, model.Original.FileBytes, EngineBytes(variants), Directory.GetFiles(folder.Staging, "*", SearchOption.AllDirectories).Sum(f => new FileInfo(f).Length),
            plans[0].Layers.Count, 0, [], plans[0].Kept, manifest.Quality, _seconds);
        WriteReport(report, plans[0], null);
        folder.Commit();
        return new BuildResult(Summary(recipe, model.Original.FileBytes, report), report, manifest, plans[0], [.. _discovered]);
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
