using QuantSdk.Caching.Schedules;
using QuantSdk.Calibration;
using QuantSdk.Recipes;
using QuantSdk.Runtime;

namespace QuantSdk.Engines;

/// <summary>Cache and Scheduler: which steps shall be full, searched on the trajectories of the engine as it ships.</summary>
internal sealed partial class ModelBuilder
{
    /// <summary>Steps per full step that a schedule is searched for.</summary>
    private static readonly int[] s_intervals = [3, 5];

    /// <summary>Samples that the search makes, and loops of them that it runs for each interval.</summary>
    private const int SearchRows = 6, SearchRuns = 10;

    /// <summary>Steps that the search dares to go without a full one.</summary>
    private const int LongestReuse = 12;

    private IReadOnlyList<CachedScheduleInfo> SearchSchedules(Recipe recipe, Manifest manifest, CalibrationInputs? inputs, ModelSession reference, EngineFolder folder)
    {
        if (recipe.Cache is null || recipe.Scheduler is null || !recipe.Targets.Contains("cpu") || inputs is null && recipe.CalibrationData.Count == 0)
            return [];
        inputs ??= ReadInputs(recipe, manifest, reference);
        if (inputs.Calibration is not SamplingSource source)
            return [];
        // Loaded the way an app loads it.
        ManifestFile.Write(Path.Combine(folder.Staging, "manifest.json"), manifest);
        using var engine = QuantizedModel.Load(folder.Staging, new QuantizedModelOptions { Threads = _request.Threads }, _log.Detail);
        var loop = source.Loop(engine).Take(SearchRows);
        int[] counts = [.. s_intervals.Select(interval => (loop.Steps + interval - 1) / interval).Where(count => count > 1 && count < loop.Steps).Distinct()];
        if (counts.Length == 0)
            return [];
        var search = new ScheduleSearch(loop, LongestReuse, _log.Detail, _cancellation);
        var done = 0;
        return [.. counts.Select(count =>
        {
            var best = search.Best(count, SearchRuns);
            _log.Progress("Verify", ++done, counts.Length);
            return best with { Error = Math.Round(best.Error, 6) };
        })];
    }

    private CalibrationInputs ReadInputs(Recipe recipe, Manifest manifest, ModelSession reference)
    {
        using var conditioner = _request.ConditionedBy is null ? null : ReferenceModel.Open(Load(_request.ConditionedBy), _request.Threads);
        return CalibrationInputs.Read(_request, recipe, reference.Inputs, manifest.Roles, conditioner?.Session, _log);
    }
}
