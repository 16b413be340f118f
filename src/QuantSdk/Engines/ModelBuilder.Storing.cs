using System.Security.Cryptography;
using System.Text;
using QuantSdk.Caching;
using QuantSdk.Calibration;
using QuantSdk.Onnx;
using QuantSdk.Planning;
using QuantSdk.Recipes;
using QuantSdk.Rewriting;
using QuantSdk.Runtime;
using QuantSdk.Store;

namespace QuantSdk.Engines;

/// <summary>Results of earlier builds in place of work.</summary>
internal sealed partial class ModelBuilder
{
    private readonly ModelStore? _store;
    private readonly SortedDictionary<string, string> _stages = new(StringComparer.Ordinal);

    /// <summary>The model's files in the staging folder: from the store, or made.</summary>
    private BuiltModel Obtain(Recipe recipe, EngineFolder folder)
    {
        var keys = Keys(recipe);
        if (keys is null)
            return Make(recipe, null, folder);
        using var single = _store!.Lock(keys.Model, recipe.Name, _cancellation);
        if (_store.Read(keys.Model, hit => Place(hit, recipe, folder)) is { } stored)
            return stored;
        folder.Clear();
        var built = Make(recipe, keys, folder);
        // What is shipped without an engine that could not be built is tried again by the next build.
        if (_engineFailure is null)
            Keep(built, keys.Model, folder);
        return built;
    }

    /// <summary>Null without a store, or where a file is missing, which the stage that reads it will say.</summary>
    private StageKeys? Keys(Recipe recipe)
    {
        if (_store is null || InputContents.Read(_request, recipe, _store, _cancellation) is not { } contents)
            return null;
        _discovered.UnionWith(contents.External);
        if (recipe.Costs is not null)
            _discovered.Add(CostFile.Read(_request, recipe, _log)!.Path);
        return StageKeys.Of(recipe, contents, Platform(recipe));
    }

    /// <summary>A stage's result from the store, or made and kept there.</summary>
    private T Stage<T>(string stage, string? key, Func<StoreHit, T> read, Func<T> make, Action<T, StoreEntry> keep) where T : class
    {
        if (key is not null && _store!.Read(key, hit => Tuple.Create(read(hit), hit.Record.Warnings)) is var (found, warnings))
        {
            _log.Replay(warnings);
            _stages[stage] = "store";
            return found;
        }
        var before = _log.Warnings.Count;
        var result = make();
        _stages[stage] = "built";
        if (key is not null)
        {
            var entry = new StoreEntry();
            keep(result, entry);
            _store!.Add(key, stage, _request.Name, entry.Values, entry.Files, [.. _log.Warnings.Skip(before)]);
        }
        return result;
    }

    private Dictionary<string, BuiltEngine> FindEngines(Recipe recipe, StageKeys? keys, EngineFolder folder)
    {
        var engines = new Dictionary<string, BuiltEngine>(StringComparer.Ordinal);
        foreach (var (target, key) in keys?.Engines ?? new Dictionary<string, string>())
        {
            if (_store!.Read(key, hit => ReadEngine(hit, folder)) is { } engine)
                engines[target] = engine;
        }
        foreach (var target in recipe.Targets)
            _stages[target] = engines.ContainsKey(target) ? "store" : "built";
        return engines;
    }

    private static BuiltEngine ReadEngine(StoreHit hit, EngineFolder folder)
    {
        var engine = hit.Json<BuiltEngine>("engine.json", folder.Scratch);
        foreach (var file in engine.Variant.Files)
            hit.Copy(file.Path, Path.Combine(folder.Staging, file.Path));
        return engine;
    }

    private void Keep(Recipe recipe, StageKeys? keys, BuiltEngine engine, EngineFolder folder)
    {
        if (keys is null)
            return;
        var entry = new StoreEntry();
        entry.AddJson("engine.json", engine, folder.Scratch);
        entry.AddFiles(engine.Variant, folder.Staging);
        _store!.Add(keys.Engines[engine.Variant.Target], "engine", recipe.Name, entry.Values, entry.Files, []);
    }

    private static ObservedModelData ReadObserved(StoreHit hit, EngineFolder folder)
    {
        IReadOnlyDictionary<string, ChannelSample>? samples = null;
        if (hit.Has("samples"))
        {
            var path = Path.Combine(folder.Scratch, "stored.samples");
            hit.Copy("samples", path);
            samples = ChannelSampleFile.Read(path);
        }
        return new ObservedModelData(
            hit.Record.Values.GetValueOrDefault("cut"), hit.Has("candidates.json") ? hit.Json<IReadOnlyList<CutCandidate>>("candidates.json", folder.Scratch) : null,
            hit.Has("calibration.json") ? hit.Json<CalibrationTable>("calibration.json", folder.Scratch) : null, samples);
    }

    private static void Keep(ObservedModelData observed, StoreEntry entry, EngineFolder folder)
    {
        if (observed.Cut is not null)
            entry.Values["cut"] = observed.Cut;
        if (observed.Candidates is not null)
            entry.AddJson("candidates.json", observed.Candidates, folder.Scratch);
        if (observed.Table is not null)
            entry.AddJson("calibration.json", observed.Table, folder.Scratch);
        if (observed.Samples is not null)
        {
            var path = Path.Combine(folder.Scratch, "made.samples");
            ChannelSampleFile.Write(path, observed.Samples);
            entry.Files.Add(("samples", path, null));
        }
    }

    private static RoundedWeights ReadRounded(StoreHit hit, Plan plan, OnnxModel model, Recipe recipe, EngineFolder folder)
    {
        var path = Path.Combine(folder.Scratch, "stored.codes");
        hit.Copy("codes", path);
        return RoundedWeightsFile.Read(path, plan, model, NegativeScales(recipe));
    }

    private static void Keep(RoundedWeights rounded, StoreEntry entry, EngineFolder folder)
    {
        var path = Path.Combine(folder.Scratch, "made.codes");
        RoundedWeightsFile.Write(path, rounded);
        entry.Files.Add(("codes", path, null));
    }

    /// <summary>Copies a whole model into the staging folder. Its name and its recipe are this build's.</summary>
    private BuiltModel Place(StoreHit hit, Recipe recipe, EngineFolder folder)
    {
        var report = hit.ValueJson<BuildReport>("report");
        var manifest = hit.ValueJson<Manifest>("manifest") with { Name = recipe.Name, RecipeHash = HashOf(recipe) };
        foreach (var file in manifest.Variants.SelectMany(v => v.Files))
            hit.Copy(file.Path, Path.Combine(folder.Staging, file.Path));
        var (plan, calibration) = (Text("plan.json"), Text("calibration.json"));
        _log.Replay(hit.Record.Warnings);
        foreach (var stage in report.Stages?.Keys ?? [])
            _stages[stage] = "store";
        _stages["model"] = "store";
        return new BuiltModel(
            manifest, report with { Name = recipe.Name, Model = Path.GetFileName(_request.Model), Recipe = recipe, Seconds = _seconds, Stages = _stages }, plan, calibration, hit.Key) { TensorRtPlanJson = Text("plan.tensorrt.json") };

        string? Text(string file) => hit.Has(file) ? hit.Text(file, folder.Scratch) : null;
    }

    private void Keep(BuiltModel built, string key, EngineFolder folder)
    {
        var entry = new StoreEntry();
        entry.Values["manifest"] = QuantSdkJson.Write(built.Manifest with { Name = "", RecipeHash = "" });
        entry.Values["report"] = QuantSdkJson.Write(built.Report with { Seconds = new SortedDictionary<string, double>() });
        foreach (var variant in built.Manifest.Variants)
            entry.AddFiles(variant, folder.Staging);
        entry.AddText("plan.json", built.PlanJson, folder.Scratch);
        entry.AddText("plan.tensorrt.json", built.TensorRtPlanJson, folder.Scratch);
        entry.AddText("calibration.json", built.CalibrationJson, folder.Scratch);
        _store!.Add(key, "model", _request.Name, entry.Values, entry.Files, _log.Warnings);
        _stages["model"] = "built";
    }

    private static string HashOf(Recipe recipe) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(QuantSdkJson.Write(recipe))));
}
