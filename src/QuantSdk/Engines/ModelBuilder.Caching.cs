using Microsoft.ML.OnnxRuntime;
using QuantSdk.Caching;
using QuantSdk.Calibration;
using QuantSdk.Onnx;
using QuantSdk.Planning;
using QuantSdk.Recipes;
using QuantSdk.Rewriting;
using QuantSdk.Runtime;

namespace QuantSdk.Engines;

/// <summary>Cache: a second, smaller engine for the steps between full ones.</summary>
internal sealed partial class ModelBuilder
{
    /// <summary>Where the recipe cuts, resolved, and what Cache=auto chose among.</summary>
    private (CacheCut? Cut, IReadOnlyList<CutCandidate>? Candidates) ChooseCut(Recipe recipe, OnnxModel model, DiffusionRoles? roles, ModelSession reference, CostFile? costs, EngineFolder folder)
    {
        if (recipe.Cache is null)
            return (null, null);
        if (roles is null)
            throw new QuantSdkException("QSDK3067", $"{recipe.Name}: Cache='{recipe.Cache}' needs a denoiser, and no sample and timestep inputs were found among {string.Join(", ", new GraphView(model.Graph).Inputs.Select(i => i.Name))}. Name them with SampleInput and TimestepInput, or remove Cache.", _request.Model);
        var cut = CacheCut.Parse(recipe.Cache);
        if (cut.Kind != CutKind.Auto)
            return (cut, null);
        using var conditioner = _request.ConditionedBy is null ? null : ReferenceModel.Open(Load(_request.ConditionedBy), _request.Threads);
        return CutStage.Choose(_request, recipe, model, roles, reference, conditioner?.Session, costs?.Table, folder.Scratch, _log, _cancellation);
    }

    private CachedModel Marked(OnnxModel model, DiffusionRoles roles, CacheCut cut)
    {
        var cached = CachedModel.Mark(model, roles, cut);
        _log.Detail($"cut {cached.Cut}: {string.Join(", ", cached.Tensors.Select(t => t.Name))}");
        return cached;
    }

    /// <summary>Writes live.onnx beside the portable graph, over the same data.</summary>
    private static void WriteLive(ModelProto part, string portable)
    {
        var live = Path.Combine(Path.GetDirectoryName(portable)!, "live.onnx");
        OnnxFile.Save(part, live, Path.ChangeExtension(live, ".data"));
        SharedWeights.Join(portable, live);
    }

    /// <summary>Optimises the live part beside the full one, over the same data.</summary>
    private CachedVariant OptimiseLive(Recipe recipe, string portable, string optimised, IReadOnlyList<TensorInfo> tensors, bool prepack)
    {
        var live = Path.Combine(Path.GetDirectoryName(optimised)!, "live.optimised.onnx");
        OrtEngine.Optimise(Path.Combine(Path.GetDirectoryName(portable)!, "live.onnx"), live, _request.Threads, prepack);
        SharedWeights.Join(optimised, live);
        return new CachedVariant("cpu/live.onnx", recipe.Prepacked ? new OptimisedModel("cpu/live.optimised.onnx", ModelSession.OnnxRuntimeVersion, CpuFeatures.Current) : null, tensors);
    }

    private CutReport Check(CachedModel cached, OnnxModel model, Plan? plan, Manifest manifest, ModelSession reference, IReadOnlyList<CutCandidate>? candidates, EngineFolder folder)
    {
        var difference = 0.0;
        if (manifest.Variants.FirstOrDefault(v => v.Target == "cpu") is { Cache: { } live } variant)
        {
            using var whole = OpenShipped(variant, folder);
            using var part = ModelSession.Open(Path.Combine(folder.Staging, live.Optimised?.Model ?? live.Live), Shipped(variant));
            var quantised = plan?.Layers.Any(l => l.Activation.Format != "float") == true;
            difference = LiveCheck.Run(whole, part, [.. live.Tensors.Select(t => t.Name)], CalibrationInputs.RandomRow(reference.Inputs, _request.Model), quantised, manifest.Cache!.Cut);
        }
        var share = ProductCosts.Of(model.Proto).MacShare(Frontier.Live(new GraphView(model.Graph), cached.Tensors).Nodes);
        return new CutReport(cached.Cut.ToString(), [.. cached.Tensors.Select(t => t.Name)], Math.Round(share, 6), difference, candidates);
    }

    /// <summary>The engine of a variant as an app opens it.</summary>
    private ModelSession OpenShipped(EngineVariant variant, EngineFolder folder) => QuantizedModel.OpenWithHeads(
        Path.Combine(folder.Staging, variant.Optimised?.Model ?? variant.Model),
        (variant.Heads ?? []).Select(head => (Path.Combine(folder.Staging, head.Optimised?.Model ?? head.Model), head.DependsOn, head.OneThread)), Shipped(variant));

    private SessionSettings Shipped(EngineVariant variant) => new()
    {
        Threads = _request.Threads,
        Optimisation = variant.Optimised is not null ? GraphOptimizationLevel.ORT_DISABLE_ALL : GraphOptimizationLevel.ORT_ENABLE_ALL,
        DisabledOptimizers = variant.Optimised is not null ? [] : variant.DisabledOptimizers,
    };
}
