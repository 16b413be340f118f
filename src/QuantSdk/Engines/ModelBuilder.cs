using System.Diagnostics;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using QuantSdk.Caching;
using QuantSdk.Caching.Hoisting;
using QuantSdk.Calibration;
using QuantSdk.Onnx;
using QuantSdk.Onnx.Upgrading;
using QuantSdk.Planning;
using QuantSdk.Quality;
using QuantSdk.Recipes;
using QuantSdk.Rewriting;
using QuantSdk.Runtime;

namespace QuantSdk.Engines;

/// <summary>One model from recipe to engine folder: the stages in order, each a function of the ones before it.</summary>
internal sealed partial class ModelBuilder
{
    private readonly BuildRequest _request;
    private readonly IBuildLog _log;
    private readonly CancellationToken _cancellation;
    private readonly SortedDictionary<string, double> _seconds = new(StringComparer.Ordinal);

    private readonly SortedSet<string> _discovered = new(StringComparer.Ordinal);

    private ModelBuilder(BuildRequest request, IBuildLog log, CancellationToken cancellation) => (_request, _log, _cancellation) = (request, log, cancellation);

    /// <exception cref="QuantSdkException">Whatever is wrong with the request, the model or its data; nothing is then written.</exception>
    public static BuildResult Build(BuildRequest request, IBuildLog log, CancellationToken cancellation) => new ModelBuilder(request, log, cancellation).Run();

    private BuildResult Run()
    {
        var recipe = RecipeParser.Parse(_request.Name, _request.Metadata);
        _log.Detail("recipe: " + QuantSdkJson.Write(recipe));
        TargetSupport.Check(recipe);
        // With data, rounding can look at what layers read; without, weights stream from file to file.
        var rounds = recipe.Weights is "int4" or "int2" && recipe.Rounding is "auto" or "error" && (recipe.CalibrationData.Count > 0 || recipe.Scheduler is not null);
        if (WeightOnlyPlanner.Applies(recipe) && !rounds)
        {
            if (recipe.Cache is not null)
                throw new QuantSdkException("QSDK3069", $"{recipe.Name}: Cache='{recipe.Cache}' and {recipe.Weights} weights with float activations: weights are then streamed from file to file, and the graph is not cut. Give CalibrationData with Rounding=auto, choose another Precision, or remove Cache.", _request.Model);
            if (recipe.Hoist)
                throw new QuantSdkException("QSDK3082", $"{recipe.Name}: Hoist=true and {recipe.Weights} weights with float activations: weights are then streamed from file to file, and the graph is not divided. Give CalibrationData with Rounding=auto, choose another Precision, or remove Hoist.", _request.Model);
            return RunWeightOnly(recipe);
        }
        var original = Load(_request.Model);
        var roles = Roles.Find(original, recipe);
        using var folder = new EngineFolder(_request.Output);
        var prepared = Intake.Prepare(original, recipe);
        using var open = ReferenceModel.Open(original, _request.Threads);
        var reference = open.Session;
        var model = Phase(recipe.Precision == "none" ? "Quantize" : "Calibrate", () => ConcatSplit.Apply(Simplification.Simplify(prepared), recipe, roles));

        var costFile = CostFile.Read(_request, recipe, _log);
        var uncut = model;
        var cached = Phase(recipe.Precision == "none" ? "Quantize" : "Calibrate", () => Cut(recipe, uncut, roles, reference, costFile, folder));
        model = cached?.Model ?? model;
        Plan? plan = null;
        CalibrationTable? calibration = null;
        IReadOnlyList<LayerCost> costs = [];
        CalibrationInputs? inputs = null;
        if (recipe.Precision != "none")
        {
            var conditioner = _request.ConditionedBy is null ? null : Load(_request.ConditionedBy);
            (inputs, var placement, calibration, var samples) = Phase("Calibrate", () => CalibrationStage.Run(
                _request, recipe, model, roles, reference, conditioner, folder.Scratch, _log, _cancellation, cached is null || recipe.Scheduler is null ? null : CachedLoop.Of(cached)));
            (placement, costs) = CostAwarePlacement.Decide(model, placement, calibration, recipe, costFile?.Table, CpuFeatures.Current);
            plan = Phase("Quantize", () => Planner.Make(model, placement, calibration, recipe, samples)) with { Cached = cached is null ? null : [.. cached.Tensors.Select(t => t.Name)] };
        }
        if (costFile is not null)
            _discovered.Add(costFile.Path);
        var rounded = plan is not null && RoundingStage.Applies(plan) && inputs?.Calibration is { } source
            ? Phase("Quantize", () => RoundingStage.Run(model, plan, source, calibration!.Rows, folder.Scratch, _request.Threads, !recipe.Targets.Contains("tensorrt-onnx"), (done, total) => _log.Progress("Quantize", done, total), _cancellation))
            : null;
        var choice = recipe.Precision == "auto" ? Phase("Quantize", () => ChooseFormats(recipe, model, plan!, rounded, reference, inputs!.HeldOut, folder)) : null;
        Manifest manifest;
        FusedLayers? fused;
        for (var round = 1; ; round++)
        {
            plan = choice?.Plan ?? plan;
            Phase("Quantize", () => Lower(recipe, model, plan, rounded, cached, roles, folder));
            (var variants, fused) = Phase("BuildEngine", () => BuildEngines(recipe, plan, folder, prepack: plan?.Layers.Any(l => l.Activation.Format == "float") != true, cached));
            manifest = new Manifest
            {
                Name = recipe.Name,
                ToolVersion = typeof(ModelBuilder).Assembly.GetName().Version!.ToString(3),
                Precision = recipe.Precision,
                RecipeHash = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(QuantSdkJson.Write(recipe)))),
                FloatBytes = original.FileBytes,
                Inputs = [.. reference.Inputs.Select(p => p.Info)],
                Outputs = [.. reference.Outputs.Select(p => p.Info)],
                Roles = roles,
                Variants = variants,
                Cache = cached is null ? null : new CacheInfo(recipe.Cache!, []),
            };
            if (inputs?.HeldOut is { } heldOut)
            {
                var unmeasured = manifest;
                manifest = manifest with { Quality = Phase("Verify", () => Verify(recipe, unmeasured, reference, heldOut, folder, model, plan)) };
            }
            if (Reconsider(choice, round, manifest.Quality, EngineBytes(variants), folder) is not { } next)
                break;
            choice = next;
        }
        if (plan is not null && fused is not null)
            WarnOfFloat(recipe, plan, fused);
        var built = manifest;
        var cut = cached is null ? null : Phase("Verify", () => Check(cached, uncut, plan, built, reference, folder));
        if (_hoisted is not null)
            Phase("Verify", () => CheckHoisting(built, prepack: plan?.Layers.Any(l => l.Activation.Format == "float") != true, reference, folder));
        if (manifest.Cache is not null)
            manifest = manifest with { Cache = Phase("Verify", () => MeasureCaching(recipe, built, inputs, reference, folder)) };
        cut = cut is null ? null : cut with { Schedules = manifest.Cache!.Schedules, Quality = manifest.Cache.Quality };
        Gates.Check(recipe, manifest.Quality, EngineBytes(manifest.Variants), _request.Model, manifest.Cache?.Quality);
        ManifestFile.Write(Path.Combine(folder.Staging, "manifest.json"), manifest);
        _cancellation.ThrowIfCancellationRequested();
        var report = new BuildReport(
            1, recipe.Name, Path.GetFileName(_request.Model), recipe, original.FileBytes, EngineBytes(manifest.Variants), Directory.GetFiles(folder.Staging, "*", SearchOption.AllDirectories).Sum(f => new FileInfo(f).Length),
            plan?.Layers.Count ?? 0, Math.Round(fused?.MacShare ?? 0, 6), fused?.Float ?? [], plan?.Kept ?? [], manifest.Quality, _seconds, costs, choice?.Sensitivity, cut,
            recipe.Hoist ? _hoisted is null ? new HoistReport([], 0) : HoistReport.Of(_hoisted) : null);
        WriteReport(report, plan, calibration);
        folder.Commit();
        return new BuildResult(Summary(recipe, original.FileBytes, report), report, manifest, plan, [.. _discovered]);
    }

    private OnnxModel Load(string path)
    {
        var model = OnnxFile.Load(path);
        _discovered.UnionWith(model.ExternalFiles);
        return model;
    }

    private object? Lower(Recipe recipe, OnnxModel model, Plan? plan, RoundedWeights? rounded, CachedModel? cached, DiffusionRoles? roles, EngineFolder folder)
    {
        foreach (var target in recipe.Targets)
        {
            var lowering = target == "tensorrt-onnx" ? "tensorrt" : target;
            var lowered = plan is null ? SimplifiedFloat(lowering == "cpu" ? FloatFusions.Apply(model) : model) : Lowering.Lower(model, plan, lowering, rounded);
            var live = cached?.Live(lowered);
            var hoisted = lowering == "cpu" ? Hoist(recipe, lowered, live, roles, folder) : null;
            var portable = folder.Write(lowering, hoisted?.Rest(lowered) ?? lowered);
            if (lowering == "cpu" && recipe.Hoist)
                WriteHeads(recipe, hoisted, portable);
            if (live is not null)
                WriteLive(hoisted?.Rest(live) ?? live, portable);
        }
        return null;
    }

    private static ModelProto SimplifiedFloat(OnnxModel model)
    {
        var proto = model.Proto.Clone();
        foreach (var node in proto.Graph.Node)
            node.MetadataProps.Clear();
        return proto;
    }

    private (IReadOnlyList<EngineVariant>, FusedLayers?) BuildEngines(Recipe recipe, Plan? plan, EngineFolder folder, bool prepack = true, CachedModel? cached = null)
    {
        var variants = new List<EngineVariant>();
        FusedLayers? fused = null;
        var tensors = cached?.Infos();
        foreach (var target in recipe.Targets)
        {
            if (target == "tensorrt-onnx")
            {
                variants.Add(new EngineVariant(target, "tensorrt/model.onnx", null, [], folder.Files("tensorrt"), tensors is null ? null : new CachedVariant("tensorrt/live.onnx", null, tensors)));
                continue;
            }
            var portable = folder.Model("cpu");
            var optimised = Path.Combine(recipe.Prepacked ? Path.GetDirectoryName(portable)! : folder.Scratch, "model.optimised.onnx");
            OrtEngine.Optimise(portable, optimised, _request.Threads, prepack);
            var heads = recipe.Hoist ? OptimiseHeads(recipe, portable, optimised, prepack) : null;
            if (plan is not null)
                fused = FusedLayers.Count(OnnxFile.Load(optimised), plan, heads?.Select(h => OnnxFile.Load(Path.Combine(Path.GetDirectoryName(optimised)!, Path.ChangeExtension(Path.GetFileName(h.Model), ".optimised.onnx")))));
            var live = tensors is null ? null : OptimiseLive(recipe, portable, optimised, tensors, prepack);
            if (!recipe.Portable)
            {
                File.Delete(portable);
                File.Delete(Path.Combine(Path.GetDirectoryName(portable)!, "live.onnx"));
                foreach (var head in HeadPart.All(cached: true))
                    File.Delete(Path.Combine(Path.GetDirectoryName(portable)!, head.File()));
                File.Delete(Path.ChangeExtension(portable, ".data"));
            }
            variants.Add(new EngineVariant(
                target, "cpu/model.onnx", recipe.Prepacked ? new OptimisedModel("cpu/model.optimised.onnx", ModelSession.OnnxRuntimeVersion, CpuFeatures.Current) : null,
                CpuLowering.DisabledOptimizers, folder.Files("cpu"), live, heads));
        }
        return (variants, fused);
    }

    private void WarnOfFloat(Recipe recipe, Plan plan, FusedLayers fused)
    {
        var surprising = fused.Float.Where(n => plan.Layers.First(l => l.Node == n) is var layer && CpuLowering.Refusal(layer) is null).ToArray();
        if (surprising.Length > 0)
            _log.Warning("QSDK4002", $"{recipe.Name}: {surprising.Length} of {plan.Layers.Count} layers were meant to run in int8 and stayed in float: {string.Join(", ", surprising.Take(5))}{(surprising.Length > 5 ? ", …" : "")}. They are right but not faster; List them in ExcludeModules to save the rounding.", _request.Model);
    }

    private IReadOnlyList<OutputQuality> Verify(Recipe recipe, Manifest manifest, ModelSession reference, CalibrationSource heldOut, EngineFolder folder, OnnxModel? model = null, Plan? plan = null)
    {
        void Progress(int done, int total) => _log.Progress("Verify", done, total);
        if (recipe.Targets.Contains("cpu"))
        {
            // Loaded the way an app loads it: manifest, hashes, choice of file.
            ManifestFile.Write(Path.Combine(folder.Staging, "manifest.json"), manifest);
            using var engine = QuantizedModel.Load(folder.Staging, new QuantizedModelOptions { Threads = _request.Threads }, _log.Detail);
            return QualityCheck.Compare(reference, engine.Session, heldOut, Progress, _cancellation);
        }
        var path = folder.Model("tensorrt");
        if (model is not null && plan is not null && TensorRtFormats.OnlyThere(plan))
        {
            // The simulation of the same plan stands in for operators that ONNX Runtime does not have.
            path = Path.Combine(folder.Scratch, "sim.onnx");
            OnnxFile.Save(Lowering.Lower(model, plan, "sim"), path, path + ".data");
        }
        using var session = ModelSession.Open(path, new SessionSettings
        {
            Threads = _request.Threads,
            DisabledOptimizers = TensorRtFormats.DisabledOptimizers,
            // Read as it is written: quantise and dequantise, nothing fused.
            Entries = new Dictionary<string, string> { ["session.disable_quant_qdq"] = "1" },
        });
        return QualityCheck.Compare(reference, session, heldOut, Progress, _cancellation);
    }

    private void WriteReport(BuildReport report, Plan? plan, CalibrationTable? calibration)
    {
        if (_request.Report is not { } path)
            return;
        try
        {
            Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(path))!);
            var stem = path.EndsWith(".report.json", StringComparison.Ordinal) ? path[..^".report.json".Length] : Path.ChangeExtension(path, null);
            File.WriteAllText(path, QuantSdkJson.Write(report));
            if (plan is not null)
                File.WriteAllText(stem + ".plan.json", QuantSdkJson.Write(plan));
            if (calibration is not null)
                File.WriteAllText(stem + ".calibration.json", QuantSdkJson.Write(calibration));
        }
        catch (Exception e) when (FileSystemError.Is(e))
        {
            throw new QuantSdkException("QSDK1004", $"Cannot write the report '{path}': {FileSystemError.Reason(e)}", path, inner: e);
        }
    }

    private T Phase<T>(string phase, Func<T> work)
    {
        _cancellation.ThrowIfCancellationRequested();
        if (!_seconds.TryGetValue(phase, out var before))
            _log.Phase(phase);
        var started = Stopwatch.GetTimestamp();
        var result = work();
        _seconds[phase] = Math.Round(before + Stopwatch.GetElapsedTime(started).TotalSeconds, 3);
        return result;
    }

    /// <summary>What has to be shipped to run: the portable graph where there is one.</summary>
    private static long EngineBytes(IReadOnlyList<EngineVariant> variants)
    {
        var files = variants[0].Files;
        var portable = files.Where(f => !f.Path.Contains(".optimised.", StringComparison.Ordinal)).ToArray();
        return (portable.Length > 0 ? portable : files).Sum(f => f.Bytes);
    }

    private static string Summary(Recipe recipe, long floatBytes, BuildReport report)
    {
        var quality = report.Quality.Count == 0 ? "" : string.Create(CultureInfo.InvariantCulture, $", SQNR {report.Quality.Min(q => q.SqnrDb):f1} dB");
        return string.Create(CultureInfo.InvariantCulture, $"{recipe.Name} -> models/{recipe.Name} ({(recipe.Precision == "none" ? "float" : recipe.Precision)}, {Size(floatBytes)} → {Size(report.EngineBytes)} MB{quality})");
    }

    private static string Size(long bytes) => (bytes / 1e6) is var mb && mb < 0.1 ? mb.ToString("0.###", CultureInfo.InvariantCulture) : mb.ToString("0.0", CultureInfo.InvariantCulture);
}
