using QuantSdk.Calibration;
using QuantSdk.Caching;
using QuantSdk.Engines.TensorRt;
using QuantSdk.Engines.TensorRt.Rules;
using QuantSdk.Onnx;
using QuantSdk.Planning;
using QuantSdk.Recipes;
using QuantSdk.Rewriting;
using QuantSdk.Runtime;
using QuantSdk.Store;

namespace QuantSdk.Engines;

/// <summary>Engines of TensorRT: the graph that trtexec reads, the plans that it makes of it, and the graphs by which ONNX Runtime loads them.</summary>
internal sealed partial class ModelBuilder
{
    /// <summary>The major version of TensorRT whose plans ONNX Runtime's provider loads.</summary>
    private const int LoadedMajor = 10;

    /// <summary>Found before anything is computed, where a plan is to be built.</summary>
    private TrtExec? _trtExec;

    /// <summary>Why there is no plan, where the model is shipped without it.</summary>
    private QuantSdkException? _engineFailure;

    private readonly List<FullPrecisionNode> _fullPrecision = [];

    private TrtExecSettings TrtExecSettings => _request.TrtExec ?? new TrtExecSettings();

    /// <summary>What Targets=auto stands for.</summary>
    private string[] AutoTargets()
    {
        if (_request.AutoTargets is { Count: > 0 } decided)
            return [.. decided];
        return NvidiaDriver.IsPresent(TrtExecSettings) && HasTrtExec() ? ["tensorrt", "cpu"] : ["cpu"];
    }

    private bool HasTrtExec()
    {
        try
        {
            TrtExecLocator.Locate(TrtExecSettings, TrtExecPlaces.OfThisMachine());
            return true;
        }
        catch (QuantSdkException e)
        {
            // One that is named and is not there is somebody's mistake, which is said where it is needed.
            return e.Code != "QSDK4020";
        }
    }

    /// <summary>Whatever would be missing for a plan is said before the model is calibrated.</summary>
    private void RequireTrtExec(Recipe recipe)
    {
        if (recipe.TensorRt is null)
        {
            if (!_request.Metadata.TryGetValue("Targets", out var targets) || targets.Contains("auto", StringComparison.OrdinalIgnoreCase))
                SayWhyAutoIsCpu(recipe);
            return;
        }
        if (_engineFailure is not null)
            return;
        try
        {
            // In this order: who has neither is told of the program first.
            var found = TrtExec.Find(TrtExecSettings, _cancellation);
            NvidiaDriver.Require(TrtExecSettings);
            CheckWishes(recipe, found.Version);
            _trtExec = found;
        }
        catch (QuantSdkException e) when (recipe.OnEngineFailure == "fallback")
        {
            GoOnWithout(recipe, e);
            return;
        }
        _log.Detail($"trtexec of TensorRT {_trtExec.Version.Release}: {_trtExec.Path} ({_trtExec.Origin})");
        if (_trtExec.Version.Major != LoadedMajor)
            _log.Warning("QSDK4012", $"{recipe.Name}: the plan is for TensorRT {_trtExec.Version.Release}, and ONNX Runtime {ModelSession.OnnxRuntimeVersion} loads plans of TensorRT {LoadedMajor} alone: an app passes it over{(recipe.Targets.Contains("cpu") ? " for cpu" : "")}. Serve it with a Triton of that version, or build with TensorRT {LoadedMajor}.", _request.Model);
    }

    /// <summary>What the version cannot do, whatever the graph is.</summary>
    private void CheckWishes(Recipe recipe, TensorRtVersion version) => PlanCommand.Of(
        version, recipe.TensorRt! with { MinShapes = [], OptShapes = [], MaxShapes = [] },
        new PlanRequest { Name = recipe.Name, Model = _request.Model, Graph = new GraphProto(), Plan = _request.Model, HighPrecision = recipe.HighPrecision, ProjectDirectory = _request.ProjectDirectory }, _request.Model, null, null);

    /// <summary>OnEngineFailure=fallback: the model is built for its other targets, and that is said.</summary>
    private void GoOnWithout(Recipe recipe, QuantSdkException failure)
    {
        _engineFailure = failure;
        _log.Warning("QSDK4014", $"{recipe.Name}: there is no engine of TensorRT, and {string.Join(" and ", recipe.Targets.Where(t => t != "tensorrt"))} is shipped without it ({failure.Code}: {failure.Message})", _request.Model);
    }

    /// <summary>Formats that a target does not run; of an engine that may be left out, it is left out.</summary>
    private void CheckSupport(Recipe recipe)
    {
        try
        {
            TargetSupport.Check(recipe);
        }
        catch (QuantSdkException e) when (recipe.OnEngineFailure == "fallback" && recipe.Targets.Contains("tensorrt"))
        {
            TargetSupport.Check(recipe with { Targets = [.. recipe.Targets.Where(t => t != "tensorrt")] });
            GoOnWithout(recipe, e);
        }
    }

    /// <summary>False where nothing of TensorRT is made any more.</summary>
    private bool GoesOn(Recipe recipe) => _engineFailure is null || recipe.Targets.Contains("tensorrt-onnx");

    /// <summary>Makes the graph for TensorRT, whose failure is the engine's where the graph itself is no target.</summary>
    private void TryTensorRt(Recipe recipe, Action write)
    {
        if (!GoesOn(recipe))
            return;
        try
        {
            write();
        }
        catch (QuantSdkException e) when (recipe.OnEngineFailure == "fallback" && !recipe.Targets.Contains("tensorrt-onnx"))
        {
            GoOnWithout(recipe, e);
        }
    }

    /// <summary>The files that the build has declared say why they are no engine; the manifest does not name them.</summary>
    private void WriteAbsent(Recipe recipe, EngineFolder folder)
    {
        var staging = Directory.CreateDirectory(Path.Combine(folder.Staging, "tensorrt")).FullName;
        var reason = $"There is no engine of TensorRT: {_engineFailure!.Code}: {_engineFailure.Message}\n";
        string[] parts = recipe.Cache is null ? ["model"] : ["model", "live"];
        foreach (var name in parts.SelectMany(part => (string[])[$"{part}.context.onnx", part + PlanExtension(recipe)]))
            File.WriteAllText(Path.Combine(staging, name), reason);
        // A graph that was written before the failure stays.
        foreach (var name in recipe.TensorRt!.StripWeights ? parts.Select(part => part + ".onnx").Append("model.data") : [])
        {
            if (!File.Exists(Path.Combine(staging, name)))
                File.WriteAllText(Path.Combine(staging, name), reason);
        }
    }

    private static string PlanExtension(Recipe recipe) => recipe.TensorRt!.StripWeights ? ".stripped.engine" : ".plan";

    private void SayWhyAutoIsCpu(Recipe recipe)
    {
        if (!NvidiaDriver.IsPresent(TrtExecSettings) && HasTrtExec())
            _log.Notice($"{recipe.Name}: Targets=auto is cpu: trtexec is here, and no NVIDIA driver is");
    }

    /// <summary>The version and GPU that plans are a function of.</summary>
    private BuildPlatform Platform(Recipe recipe) => _trtExec is null ? BuildPlatform.Current
        : BuildPlatform.Current with { TensorRt = $"{_trtExec.Version} {GpuIdentity.Of(recipe.TensorRt!.GpuDevice).Model} {NvidiaDriver.Version()}" };

    private static bool IsTensorRt(string target) => target is "tensorrt" or "tensorrt-onnx";

    /// <summary>The graph is shipped where somebody asked for it, or where a plan without weights needs it.</summary>
    private static bool ShipsGraph(Recipe recipe) => recipe.Targets.Contains("tensorrt-onnx") || recipe.TensorRt?.StripWeights == true;

    /// <summary>Where the graph for trtexec is.</summary>
    private static string GraphOf(Recipe recipe, EngineFolder folder) => ShipsGraph(recipe) ? folder.Model("tensorrt")
        : Path.Combine(Directory.CreateDirectory(Path.Combine(folder.Scratch, "tensorrt")).FullName, "model.onnx");

    /// <summary>A network whose types TensorRT chooses is given in 32 bits.</summary>
    private static bool IsHalf(Recipe recipe) => recipe.HighPrecision != "fp32" && recipe.TensorRt is not { StronglyTyped: false };

    private void WriteTensorRt(Recipe recipe, ModelProto graph, EngineFolder folder)
    {
        var path = GraphOf(recipe, folder);
        OnnxFile.Save(graph, path, Path.ChangeExtension(path, ".data"));
        if (IsHalf(recipe) && !recipe.Targets.Contains("cpu"))
            OnnxFile.Save(HalfPrecision.Runnable(graph), JudgedOf(recipe, folder), Path.ChangeExtension(JudgedOf(recipe, folder), ".data"));
    }

    /// <summary>The graph that quality is measured on where no engine can be run here: what was written, as ONNX Runtime's CPU computes it right.</summary>
    private static string JudgedOf(Recipe recipe, EngineFolder folder) => IsHalf(recipe) ? Path.Combine(folder.Scratch, "judged.onnx") : GraphOf(recipe, folder);

    /// <summary>Largest magnitudes of every tensor; nothing where no data is given or nothing depends on them.</summary>
    private AmaxTable Magnitudes(Recipe recipe, OnnxModel model, Lazy<CalibrationInputs?> inputs, StageKeys? keys, EngineFolder folder)
    {
        if (!IsHalf(recipe))
            return AmaxTable.Empty;
        var key = keys is null ? null : StoreKey.Of("amax", keys.Calibration);
        return Stage("amax", key, hit => hit.Json<AmaxTable>("amax.json", folder.Scratch), Observe, (a, entry) => entry.AddJson("amax.json", a, folder.Scratch));

        AmaxTable Observe() => inputs.Value?.Calibration is not { } source ? AmaxTable.Empty
            : new(TensorAmax.Observe(model, source, folder.Scratch, _request.Threads, (done, total) => _log.Progress("Quantize", done, total), _cancellation));
    }

    /// <summary>Writes the graph for trtexec and its live part, in the types of the recipe and within TensorRT's rules.</summary>
    private void WriteTensorRt(Recipe recipe, ModelProto lowered, CachedModel? cached, AmaxTable amax, EngineFolder folder)
    {
        var path = GraphOf(recipe, folder);
        var live = cached?.Live(lowered);
        WriteTensorRt(recipe, InTypes(recipe, lowered, amax), folder);
        if (live is not null)
            WriteLive(InTypes(recipe, live, amax), path);
    }

    private ModelProto InTypes(Recipe recipe, ModelProto lowered, AmaxTable amax)
    {
        if (IsHalf(recipe))
        {
            var half = HalfPrecision.Convert(lowered, amax.Tensors, recipe.HighPrecision, _request.Model);
            _fullPrecision.AddRange(half.Full.Where(n => _fullPrecision.All(f => f.Node != n.Node)));
            lowered = half.Model;
        }
        // What trtexec would refuse after minutes, or take for something else and say nothing.
        GraphRules.Require(lowered, _request.Model);
        return lowered;
    }

    /// <summary>The plans; null where that failed and the model is shipped without.</summary>
    private BuiltEngine? TryBuildPlans(Recipe recipe, EngineFolder folder, ModelEnds ends, IReadOnlyList<TensorInfo>? cached, IReadOnlyDictionary<string, long[]>? observed)
    {
        try
        {
            if (_engineFailure is null)
                return BuildPlans(recipe, folder, ends, cached, observed ?? new Dictionary<string, long[]>());
        }
        catch (QuantSdkException e) when (recipe.OnEngineFailure == "fallback")
        {
            GoOnWithout(recipe, e);
        }
        WriteAbsent(recipe, folder);
        return null;
    }

    private BuiltEngine BuildTensorRtOnnx(EngineFolder folder, IReadOnlyList<TensorInfo>? cached)
    {
        string[] names = ["model.onnx", "model.data", "live.onnx"];
        return new BuiltEngine(
            new EngineVariant("tensorrt-onnx", "tensorrt/model.onnx", null, [], folder.Files("tensorrt", names), cached is null ? null : new CachedVariant("tensorrt/live.onnx", null, cached)), null, null);
    }

    /// <param name="observed">Shapes of inputs for one row.</param>
    private BuiltEngine BuildPlans(Recipe recipe, EngineFolder folder, ModelEnds ends, IReadOnlyList<TensorInfo>? cached, IReadOnlyDictionary<string, long[]> observed)
    {
        var options = recipe.TensorRt!;
        var graph = GraphOf(recipe, folder);
        var staging = Directory.CreateDirectory(Path.Combine(folder.Staging, "tensorrt")).FullName;
        var extension = PlanExtension(recipe);
        var full = Build("model", options);
        BuiltPlan? live = null;
        if (cached is not null)
        {
            var ranges = LiveShapes.Of(Graph("model"), Graph("live"), full.Profiles);
            live = Build("live", options with { MinShapes = Texts(ranges, r => r.Min), OptShapes = Texts(ranges, r => r.Opt), MaxShapes = Texts(ranges, r => r.Max) });
        }
        var info = new TensorRtInfo(
            full.Version.ToString(), full.ComputeCapability, full.Gpu, options.HardwareCompatibility, options.VersionCompatible, $"tensorrt/model{extension}", cached is null ? null : $"tensorrt/live{extension}",
            full.Profiles, options.StripWeights, options.CudaGraph, options.Plugins.Count == 0 ? null : [.. options.Plugins.Select(p => Path.GetFileName(p))]);
        Wrap("model", ends.Inputs, [.. ends.Outputs, .. cached ?? []]);
        if (cached is not null)
            Wrap("live", [.. ends.Inputs, .. cached], ends.Outputs);
        string[] names = [.. ((string[])["model", "live"]).SelectMany(part => (string[])[$"{part}.context.onnx", part + extension]), .. options.StripWeights ? (string[])["model.onnx", "model.data", "live.onnx"] : []];
        var variant = new EngineVariant(
            "tensorrt", "tensorrt/model.context.onnx", null, [], folder.Files("tensorrt", names), cached is null ? null : new CachedVariant("tensorrt/live.context.onnx", null, cached), null, info);
        return new BuiltEngine(variant, null, null) { Plans = live is null ? [full] : [full, live], FullPrecision = _fullPrecision };

        GraphProto Graph(string part) => OnnxFile.LoadHeaders(Path.Combine(Path.GetDirectoryName(graph)!, part + ".onnx")).Graph;

        BuiltPlan Build(string part, TensorRtOptions options) => PlanBuilder.Build(_trtExec!, TrtExecSettings, options, new PlanRequest
        {
            Name = part == "model" ? recipe.Name : $"{recipe.Name}.{part}",
            Model = Path.Combine(Path.GetDirectoryName(graph)!, part + ".onnx"),
            Graph = Graph(part),
            Plan = Path.Combine(staging, part + extension),
            Source = _request.Model,
            Observed = observed,
            Guided = recipe.GuidanceScale != 1,
            HighPrecision = recipe.HighPrecision,
            ProjectDirectory = _request.ProjectDirectory,
            TimingCaches = SharedFolder is null ? null : Path.Combine(SharedFolder, "timing"),
            Locks = SharedFolder is null ? null : Path.Combine(SharedFolder, "locks"),
        }, _log, _cancellation);

        void Wrap(string part, IReadOnlyList<TensorInfo> ins, IReadOnlyList<TensorInfo> outs) =>
            OnnxFile.SaveGraph(ContextModel.Create(ins, outs, info, part + extension, options.StripWeights ? part + ".onnx" : null, Graph(part)), Path.Combine(staging, part + ".context.onnx"));

        IReadOnlyList<string> Texts(IReadOnlyList<TensorRtProfile> profiles, Func<ShapeRange, IReadOnlyList<long>> dims) =>
            [.. profiles.Select(p => ShapeText.Write(p.Inputs.Select(r => (r.Input, dims(r))), _request.Model))];
    }

    /// <summary>What builds of a machine share whether or not they may write to a store: timing caches and the locks of GPUs.</summary>
    private string? SharedFolder => TrtExecSettings.Shared is { } shared ? shared
        : _request.Store is { Mode: StoreMode.ReadWrite } store ? store.Directory
        : Environment.GetFolderPath(Environment.SpecialFolder.LocalApplicationData, Environment.SpecialFolderOption.DoNotVerify) is { Length: > 0 } own ? Path.Combine(own, "quantsdk") : null;
}

/// <summary>Largest magnitudes by tensor.</summary>
internal sealed record AmaxTable(IReadOnlyDictionary<string, float> Tensors)
{
    public static AmaxTable Empty { get; } = new(new Dictionary<string, float>());
}
