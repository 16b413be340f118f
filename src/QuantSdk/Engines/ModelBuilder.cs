using System.Diagnostics;
using System.Globalization;
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

/// <summary>One model from recipe to engine folder: the stages in order, each a function of the ones before it, or taken from the store.</summary>
internal sealed partial class ModelBuilder
{
    private readonly BuildRequest _request;
    private readonly RecordingLog _log;
    private readonly CancellationToken _cancellation;
    private readonly SortedDictionary<string, double> _seconds = new(StringComparer.Ordinal);

    private readonly SortedSet<string> _discovered = new(StringComparer.Ordinal);

    private ModelBuilder(BuildRequest request, IBuildLog log, CancellationToken cancellation)
    {
        (_request, _log, _cancellation) = (request, new RecordingLog(log, request), cancellation);
        // What the store says is of this build alone: it is not recorded.
        _store = request.Store is null ? null : new Store.ModelStore(request.Store, log);
    }

    /// <exception cref="QuantSdkException">Whatever is wrong with the request, the model or its data; nothing is then written.</exception>
    public static BuildResult Build(BuildRequest request, IBuildLog log, CancellationToken cancellation) => new ModelBuilder(request, log, cancellation).Run();

    private BuildResult Run()
    {
        var recipe = RecipeParser.Parse(_request.Name, _request.Metadata, AutoTargets());
        _log.Detail("recipe: " + QuantSdkJson.Write(recipe));
        CheckSupport(recipe);
        RequireTrtExec(recipe);
        if (Streams(recipe))
            CheckStreaming(recipe);
        using var folder = new EngineFolder(_request.Output);
        var (missed, built) = Judge(recipe, Obtain(recipe, folder), folder);
        if (missed is not null)
            built = Fail(recipe, missed, built, folder);
        ManifestFile.Write(Path.Combine(folder.Staging, ManifestFile.Name), built.Manifest);
        _cancellation.ThrowIfCancellationRequested();
        WriteReport(built);
        folder.Commit();
        _store?.Trim();
        return new BuildResult(Summary(built), built.Report, built.Manifest, built.PlanJson, [.. _discovered], built.Key);
    }

    /// <summary>The stages, for everything but weights that stream.</summary>
    private BuiltModel Make(Recipe recipe, StageKeys? keys, EngineFolder folder)
    {
        if (Streams(recipe))
            return MakeWeightOnly(recipe, keys, folder);
        var original = Load(_request.Model);
        var roles = Roles.Find(original, recipe);
        var prepared = Intake.Prepare(original, recipe);
        using var open = ReferenceModel.Open(original, _request.Threads);
        var reference = open.Session;
        var first = recipe.Precision == "none" ? "Quantize" : "Calibrate";
        var uncut = Phase(first, () => ConcatSplit.Apply(Simplification.Simplify(prepared), recipe, roles));
        var costFile = CostFile.Read(_request, recipe, _log);
        if (costFile is not null)
            _discovered.Add(costFile.Path);

        var observed = Phase(first, () => Stage("calibration", keys?.Calibration, hit => ReadObserved(hit, folder), () => Observe(recipe, uncut, roles, reference, costFile, folder), (o, entry) => Keep(o, entry, folder)));
        var cached = observed.Cached ?? (observed.Cut is null ? null : Marked(uncut, roles!, CacheCut.Parse(observed.Cut)));
        var model = cached?.Model ?? uncut;
        var inputs = new Lazy<CalibrationInputs?>(() => recipe.Precision == "none" && recipe.CalibrationData.Count == 0 ? null : observed.Inputs ?? ReadInputs(recipe, roles, reference));
        PlannedModel? planned = null, forTensorRt = null;
        RoundedWeights? rounded = null;
        AutoPrecision? choice = null;
        if (recipe.Precision != "none")
        {
            planned = Phase("Quantize", () => Stage("plan", keys?.Plan, hit => hit.Json<PlannedModel>("plan.json", folder.Scratch), () => MakePlan(recipe, model, roles, observed, cached, costFile), (p, entry) => entry.AddJson("plan.json", p, folder.Scratch)));
            var apart = recipe with { Targets = [.. recipe.Targets.Where(IsTensorRt)] };
            forTensorRt = !CostAwarePlacement.ApartForTensorRt(recipe) ? planned
                : Phase("Quantize", () => Stage("plan.tensorrt", keys?.TensorRtPlan, hit => hit.Json<PlannedModel>("plan.json", folder.Scratch), () => MakePlan(apart, model, roles, observed, cached, null), (p, entry) => entry.AddJson("plan.json", p, folder.Scratch)));
            if (RoundingStage.Applies(planned.Plan) && inputs.Value?.Calibration is { } source)
                rounded = Phase("Quantize", () => Stage("rounding", keys?.Rounding, hit => ReadRounded(hit, planned.Plan, model, recipe, folder), () => Round(recipe, model, planned.Plan, source, observed.Table!.Rows, folder), (r, entry) => Keep(r, entry, folder)));
            if (recipe.Precision == "auto")
                choice = Phase("Quantize", () => ChooseFormats(recipe, model, planned.Plan, rounded, reference, inputs.Value!.HeldOut, folder));
        }

        var plan = planned?.Plan;
        var ends = new ModelEnds([.. reference.Inputs.Select(p => p.Info)], [.. reference.Outputs.Select(p => p.Info)]);
        var amax = recipe.Targets.Any(IsTensorRt) && GoesOn(recipe) ? Phase("Quantize", () => Magnitudes(recipe, model, inputs, keys, folder)) : AmaxTable.Empty;
        // What is chosen round by round is kept as a whole only.
        var engines = choice is null ? FindEngines(recipe, keys, folder) : [];
        string[] missing = [.. recipe.Targets.Where(t => !engines.ContainsKey(t))];
        // The graph of a plan that is found is not kept, and is what quality is measured on where there is no cpu.
        var withGraph = missing.Any(IsTensorRt) || !recipe.Targets.Contains("cpu");
        // A plan takes minutes: it is built of what was chosen, not of every choice.
        string[] late = choice is null ? [] : [.. missing.Where(t => t == "tensorrt")];
        Manifest manifest;
        for (var round = 1; ; round++)
        {
            plan = choice?.Plan ?? plan;
            var tensorRtPlan = choice?.Plan ?? forTensorRt?.Plan;
            if (missing.Length > 0 || withGraph)
                Phase("Quantize", () => Lower(recipe, missing, model, plan, tensorRtPlan, rounded, cached, roles, amax, withGraph, folder));
            if (missing.Length > 0)
            {
                var rows = recipe.TensorRt is null ? null : inputs.Value?.HeldOut?.RowShapes(reference.Inputs);
                foreach (var engine in Phase("BuildEngine", () => BuildEngines(recipe, [.. missing.Except(late)], plan, folder, ends, prepack: !FloatActivations(plan), cached, rows)))
                    engines[engine.Variant.Target] = engine;
            }
            manifest = new Manifest
            {
                Name = recipe.Name,
                ToolVersion = typeof(ModelBuilder).Assembly.GetName().Version!.ToString(3),
                Precision = recipe.Precision,
                RecipeHash = HashOf(recipe),
                FloatBytes = original.FileBytes,
                Inputs = ends.Inputs,
                Outputs = ends.Outputs,
                Roles = roles,
                Variants = [.. recipe.Targets.Where(engines.ContainsKey).Select(t => engines[t].Variant)],
                Cache = cached is null ? null : new CacheInfo(recipe.Cache!, []),
            };
            if (choice is null)
                break;
            var unmeasured = manifest;
            var measured = inputs.Value?.HeldOut is { } heldOut ? Phase("Verify", () => Verify(recipe, unmeasured, reference, heldOut, folder, model, plan)) : [];
            manifest = manifest with { Quality = measured };
            if (Reconsider(choice, round, measured, EngineBytes(manifest.Variants), folder) is not { } next)
                break;
            choice = next;
        }
        if (late.Length > 0)
        {
            var rows = inputs.Value?.HeldOut?.RowShapes(reference.Inputs);
            foreach (var engine in Phase("BuildEngine", () => BuildEngines(recipe, late, plan, folder, ends, cached: cached, rows: rows)))
                engines[engine.Variant.Target] = engine;
            manifest = manifest with { Variants = [.. recipe.Targets.Where(engines.ContainsKey).Select(t => engines[t].Variant)] };
        }
        if (_hoisted is not null)
            Phase("Verify", () => CheckHoisting(manifest, prepack: !FloatActivations(plan), reference, folder));
        var fused = engines.GetValueOrDefault("cpu")?.Fused;
        if (plan is not null && fused is not null)
            WarnOfFloat(recipe, plan, fused);
        foreach (var target in choice is null ? missing.Where(engines.ContainsKey) : [])
            Keep(recipe, keys, engines[target], folder);

        var measuredQuality = Phase("Verify", () => Stage("quality", choice is null ? keys?.Quality : null, hit => hit.Json<MeasuredModel>("quality.json", folder.Scratch), () => Measure(recipe, manifest, cached, uncut, model, plan, inputs, reference, observed.Candidates, folder), (q, entry) => entry.AddJson("quality.json", q, folder.Scratch)));
        manifest = manifest with { Quality = measuredQuality.Quality, Cache = measuredQuality.Cache };
        var report = new BuildReport(
            1, recipe.Name, Path.GetFileName(_request.Model), recipe, original.FileBytes, EngineBytes(manifest.Variants), Directory.GetFiles(folder.Staging, "*", SearchOption.AllDirectories).Sum(f => new FileInfo(f).Length),
            plan?.Layers.Count ?? 0, Math.Round(fused?.MacShare ?? 0, 6), fused?.Float ?? [], plan?.Kept ?? [], manifest.Quality, _seconds, planned?.Costs ?? [], choice?.Sensitivity, measuredQuality.Cut,
            recipe.Hoist ? engines.GetValueOrDefault("cpu")?.Hoisted ?? new HoistReport([], 0) : null)
        {
            Stages = _stages,
            Plans = engines.GetValueOrDefault("tensorrt")?.Plans,
            FullPrecision = engines.Values.Select(e => e.FullPrecision).FirstOrDefault(f => f is not null),
        };
        return new BuiltModel(manifest, report, plan is null ? null : QuantSdkJson.Write(plan), observed.Table is null ? null : QuantSdkJson.Write(observed.Table), keys?.Model) { TensorRtPlanJson = ReferenceEquals(forTensorRt, planned) ? null : QuantSdkJson.Write(forTensorRt!.Plan) };
    }

    /// <summary>The cut and the ranges: what the model's data say.</summary>
    private ObservedModelData Observe(Recipe recipe, OnnxModel model, DiffusionRoles? roles, ModelSession reference, CostFile? costs, EngineFolder folder)
    {
        var (cut, candidates) = ChooseCut(recipe, model, roles, reference, costs, folder);
        var cached = cut is null ? null : Marked(model, roles!, cut);
        if (recipe.Precision == "none")
            return new ObservedModelData(cut?.ToString(), candidates, null, null) { Cached = cached };
        var conditioner = _request.ConditionedBy is null ? null : Load(_request.ConditionedBy);
        var (inputs, _, table, samples) = CalibrationStage.Run(
            _request, recipe, cached?.Model ?? model, roles, reference, conditioner, folder.Scratch, _log, _cancellation, cached is null || recipe.Scheduler is null ? null : CachedLoop.Of(cached));
        return new ObservedModelData(cut?.ToString(), candidates, table, samples) { Cached = cached, Inputs = inputs };
    }

    private static PlannedModel MakePlan(Recipe recipe, OnnxModel model, DiffusionRoles? roles, ObservedModelData observed, CachedModel? cached, CostFile? costs)
    {
        var (placement, layerCosts) = CostAwarePlacement.Decide(model, TensorRtWeights.Fit(Placement.Decide(model, recipe, roles), model, recipe), observed.Table!, recipe, costs?.Table, CpuFeatures.Current);
        var plan = Planner.Make(model, placement, observed.Table!, recipe, observed.Samples) with { Cached = cached is null ? null : [.. cached.Tensors.Select(t => t.Name)] };
        return new PlannedModel(plan, layerCosts);
    }

    private RoundedWeights Round(Recipe recipe, OnnxModel model, Plan plan, CalibrationSource source, long rows, EngineFolder folder) =>
        RoundingStage.Run(model, plan, source, rows, folder.Scratch, _request.Threads, NegativeScales(recipe), (done, total) => _log.Progress("Quantize", done, total), _cancellation);

    private MeasuredModel Measure(
        Recipe recipe, Manifest manifest, CachedModel? cached, OnnxModel uncut, OnnxModel model, Plan? plan, Lazy<CalibrationInputs?> inputs, ModelSession reference, IReadOnlyList<CutCandidate>? candidates, EngineFolder folder)
    {
        var quality = manifest.Quality;
        if (quality.Count == 0 && recipe.Precision != "none" && inputs.Value?.HeldOut is { } heldOut)
            quality = Verify(recipe, manifest, reference, heldOut, folder, model, plan);
        if (cached is null)
            return new MeasuredModel(quality, null, null);
        manifest = manifest with { Quality = quality };
        var cut = Check(cached, uncut, plan, manifest, reference, candidates, folder);
        var cache = MeasureCaching(recipe, manifest, inputs, reference, folder);
        return new MeasuredModel(quality, cut with { Schedules = cache.Schedules, Quality = cache.Quality }, cache);
    }

    private static bool FloatActivations(Plan? plan) => plan?.Layers.Any(l => l.Activation.Format == "float") == true;

    /// <summary>TensorRT wants positive scales, and both targets have the same codes.</summary>
    private static bool NegativeScales(Recipe recipe) => !recipe.Targets.Any(IsTensorRt);

    private OnnxModel Load(string path)
    {
        var model = OnnxFile.Load(path);
        _discovered.UnionWith(model.ExternalFiles);
        return model;
    }

    private object? Lower(Recipe recipe, IReadOnlyList<string> targets, OnnxModel model, Plan? plan, Plan? tensorRtPlan, RoundedWeights? rounded, CachedModel? cached, DiffusionRoles? roles, AmaxTable amax, bool tensorRt, EngineFolder folder)
    {
        if (targets.Contains("cpu"))
        {
            var lowered = plan is null ? SimplifiedFloat(FloatFusions.Apply(model)) : Lowering.Lower(model, plan, "cpu", rounded);
            var live = cached?.Live(lowered);
            var hoisted = Hoist(recipe, lowered, live, roles, folder);
            var portable = folder.Write("cpu", hoisted?.Rest(lowered) ?? lowered);
            if (recipe.Hoist)
                WriteHeads(recipe, hoisted, portable);
            if (live is not null)
                WriteLive(hoisted?.Rest(live) ?? live, portable);
        }
        if (tensorRt)
            TryTensorRt(recipe, () => WriteTensorRt(recipe, tensorRtPlan is null ? SimplifiedFloat(model) : Lowering.Lower(model, tensorRtPlan, "tensorrt", rounded), cached, amax, folder));
        return null;
    }

    private static ModelProto SimplifiedFloat(OnnxModel model)
    {
        var proto = model.Proto.Clone();
        foreach (var node in proto.Graph.Node)
            node.MetadataProps.Clear();
        return proto;
    }

    private IReadOnlyList<BuiltEngine> BuildEngines(Recipe recipe, IReadOnlyList<string> targets, Plan? plan, EngineFolder folder, ModelEnds ends, bool prepack = true, CachedModel? cached = null, IReadOnlyDictionary<string, long[]>? rows = null)
    {
        var engines = new List<BuiltEngine>();
        var tensors = cached?.Infos();
        foreach (var target in targets)
        {
            if (IsTensorRt(target))
            {
                if ((target == "tensorrt" ? TryBuildPlans(recipe, folder, ends, tensors, rows) : BuildTensorRtOnnx(folder, tensors)) is { } made)
                    engines.Add(made);
                continue;
            }
            var portable = folder.Model("cpu");
            var optimised = Path.Combine(recipe.Prepacked ? Path.GetDirectoryName(portable)! : folder.Scratch, "model.optimised.onnx");
            OrtEngine.Optimise(portable, optimised, _request.Threads, prepack);
            var heads = recipe.Hoist ? OptimiseHeads(recipe, portable, optimised, prepack) : null;
            var fused = plan is null ? null : FusedLayers.Count(OnnxFile.Load(optimised), plan, heads?.Select(h => OnnxFile.Load(Path.Combine(Path.GetDirectoryName(optimised)!, Path.ChangeExtension(Path.GetFileName(h.Model), ".optimised.onnx")))));
            var live = tensors is null ? null : OptimiseLive(recipe, portable, optimised, tensors, prepack);
            if (!recipe.Portable)
            {
                File.Delete(portable);
                File.Delete(Path.Combine(Path.GetDirectoryName(portable)!, "live.onnx"));
                foreach (var head in HeadPart.All(cached: true))
                    File.Delete(Path.Combine(Path.GetDirectoryName(portable)!, head.File()));
                File.Delete(Path.ChangeExtension(portable, ".data"));
            }
            var variant = new EngineVariant(
                target, "cpu/model.onnx", recipe.Prepacked ? new OptimisedModel("cpu/model.optimised.onnx", ModelSession.OnnxRuntimeVersion, CpuFeatures.Current) : null,
                CpuLowering.DisabledOptimizers, folder.Files("cpu"), live, heads);
            engines.Add(new BuiltEngine(variant, fused, _hoisted is null ? null : HoistReport.Of(_hoisted)));
        }
        return engines;
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
            ManifestFile.Write(Path.Combine(folder.Staging, ManifestFile.Name), manifest);
            using var engine = QuantizedModel.Load(folder.Staging, new QuantizedModelOptions { Threads = _request.Threads }, _log.Detail);
            return QualityCheck.Compare(reference, engine.Session, heldOut, Progress, _cancellation);
        }
        var path = JudgedOf(recipe, folder);
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

    private void WriteReport(BuiltModel built)
    {
        if (_request.Report is not { } path)
            return;
        try
        {
            Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(path))!);
            var stem = path.EndsWith(".report.json", StringComparison.Ordinal) ? path[..^".report.json".Length] : Path.ChangeExtension(path, null);
            File.WriteAllText(path, QuantSdkJson.Write(built.Report));
            if (built.PlanJson is not null)
                File.WriteAllText(stem + ".plan.json", built.PlanJson);
            if (built.TensorRtPlanJson is not null)
                File.WriteAllText(stem + ".tensorrt.plan.json", built.TensorRtPlanJson);
            if (built.CalibrationJson is not null)
                File.WriteAllText(stem + ".calibration.json", built.CalibrationJson);
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

    private string Summary(BuiltModel built)
    {
        var (recipe, report) = (built.Report.Recipe, built.Report);
        var quality = report.Quality.Count == 0 ? "" : string.Create(CultureInfo.InvariantCulture, $", SQNR {report.Quality.Min(q => q.SqnrDb):f1} dB");
        var format = built.Manifest.Precision == "none" ? "float" : built.Manifest.Precision;
        var fallback = built.Manifest.Fallback is { } gate ? $", in place of {recipe.Precision}, which missed {gate}" : "";
        var stored = _stages.GetValueOrDefault("model") == "store" ? ", from the store" : "";
        var plan = built.Manifest.Variants.FirstOrDefault(v => v.TensorRt is not null)?.TensorRt is { } info ? $", TensorRT {info.Version} for {info.Gpu}" : "";
        return string.Create(CultureInfo.InvariantCulture, $"{recipe.Name} -> models/{recipe.Name} ({format}, {Size(report.FloatBytes)} → {Size(report.EngineBytes)} MB{quality}{plan}{fallback}{stored})");
    }

    private static string Size(long bytes) => (bytes / 1e6) is var mb && mb < 0.1 ? mb.ToString("0.###", CultureInfo.InvariantCulture) : mb.ToString("0.0", CultureInfo.InvariantCulture);
}
