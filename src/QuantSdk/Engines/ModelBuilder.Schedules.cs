using QuantSdk.Caching.Schedules;
using QuantSdk.Calibration;
using QuantSdk.Recipes;
using QuantSdk.Runtime;

namespace QuantSdk.Engines;

/// <summary>Cache and Scheduler: which steps shall be full, searched on the trajectories of the engine as it ships, and how good its cached loops are.</summary>
internal sealed partial class ModelBuilder
{
    /// <summary>Steps per full step that a schedule is searched for.</summary>
    private static readonly int[] s_intervals = [3, 5];

    /// <summary>Samples that drift is measured on and that published schedules are compared on first, how many of these, and the most schedules that are run on all samples, for each interval.</summary>
    private const int FewRows = 4, Published = 4, Runs = 10;

    /// <summary>Steps that the search dares to go without a full one.</summary>
    private const int LongestReuse = 12;

    private CacheInfo MeasureCaching(Recipe recipe, Manifest manifest, Lazy<CalibrationInputs?> lazyInputs, ModelSession reference, EngineFolder folder)
    {
        var caching = manifest.Cache!;
        if (recipe.Scheduler is null || !recipe.Targets.Contains("cpu") || lazyInputs.Value is not { } inputs)
            return caching;
        // Loaded the way an app loads it.
        ManifestFile.Write(Path.Combine(folder.Staging, "manifest.json"), manifest);
        using var engine = QuantizedModel.Load(folder.Staging, new QuantizedModelOptions { Threads = _request.Threads }, _log.Detail);
        if (inputs.HeldOut is SamplingSource heldOut && Loop(heldOut, engine, int.MaxValue) is { } judged)
            caching = caching with { Quality = judged.Quality(reference, judged.Every(CarriedTensors.Interval), _cancellation) };
        if (recipe.ScheduleRows > 0 && inputs.Calibration is SamplingSource source && Loop(source, engine, recipe.ScheduleRows) is { } loop)
            caching = caching with { Schedules = Search(loop) };
        return caching;
    }

    /// <summary>At most that many samples, or as many as a fixed batch holds; null where that is an odd number and guidance takes two for each.</summary>
    private static TrialLoop? Loop(SamplingSource source, QuantizedModel engine, int rows)
    {
        var loop = source.Loop(engine);
        if (engine.Denoiser!.SamplePort.Shape[0] is not (> 0 and var batch))
            return loop.Take(rows);
        return batch % loop.Passes == 0 && batch / loop.Passes <= loop.Rows ? loop.Take((int)(batch / loop.Passes)) : null;
    }

    private IReadOnlyList<CachedScheduleInfo> Search(TrialLoop loop)
    {
        int[] counts = [.. s_intervals.Select(interval => (loop.Steps + interval - 1) / interval).Where(count => count > 1 && count < loop.Steps).Distinct()];
        if (counts.Length == 0)
            return [];
        var search = new ScheduleSearch(loop, FewRows, LongestReuse, _log.Detail, _cancellation);
        var done = 0;
        return [.. counts.Select(count =>
        {
            var best = search.Best(count, Runs, Published);
            _log.Progress("Verify", ++done, counts.Length);
            return best with { Error = Math.Round(best.Error, 6) };
        })];
    }

    private CalibrationInputs ReadInputs(Recipe recipe, DiffusionRoles? roles, ModelSession reference)
    {
        using var conditioner = _request.ConditionedBy is null ? null : ReferenceModel.Open(Load(_request.ConditionedBy), _request.Threads);
        return CalibrationInputs.Read(_request, recipe, reference.Inputs, roles, conditioner?.Session, _log);
    }
}
