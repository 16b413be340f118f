using QuantSdk.Runtime;

namespace QuantSdk.Caching;

/// <summary>Where a model was cut, for a person or a script.</summary>
/// <param name="Cut">The cut, resolved: never auto.</param>
/// <param name="Tensors">The cached tensors.</param>
/// <param name="MacShare">Multiply-adds of the live part as a share of the model's, (0, 1].</param>
/// <param name="Difference">Relative L2 difference of the live part's outputs, on the cached tensors of the same step, from the full engine's.</param>
/// <param name="Candidates">The cuts that Cache=auto chose among.</param>
internal sealed record CutReport(string Cut, IReadOnlyList<string> Tensors, double MacShare, double Difference, IReadOnlyList<CutCandidate>? Candidates = null)
{
    /// <summary>See <see cref="CacheInfo.Schedules"/>; null where there was no build.</summary>
    public IReadOnlyList<CachedScheduleInfo>? Schedules { get; init; }

    /// <summary>See <see cref="CacheInfo.Quality"/>.</summary>
    public IReadOnlyList<OutputQuality>? Quality { get; init; }
}

/// <summary>A cut with what it saves and what it costs.</summary>
/// <param name="Cost">Predicted time of the live part as a share of the full model's, (0, 1].</param>
/// <param name="Drift"><see cref="Staleness.Drift"/>; null where no trajectories were run.</param>
/// <param name="Error"><see cref="Staleness.Error"/>; null likewise.</param>
/// <param name="Speedup">Of a loop with every third step full: 3/(1 + 2·cost).</param>
/// <param name="Pareto">True where no other candidate is both cheaper and has less error.</param>
/// <param name="Chosen">True for the one that was built.</param>
internal sealed record CutCandidate(string Cut, IReadOnlyList<string> Tensors, double Cost, double? Drift, double? Error, double Speedup, bool Pareto, bool Chosen);
