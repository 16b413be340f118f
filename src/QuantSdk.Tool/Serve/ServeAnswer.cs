using QuantSdk.Engines;

namespace QuantSdk.Tool.Serve;

/// <summary>One line of the answer. <paramref name="T"/> says which of the others are set: phase, progress, warning, error, message, inputs, done.</summary>
/// <param name="Result">Of `done`.</param>
/// <param name="Files">Of `inputs`: files that the model names and the build cannot know, its external data.</param>
internal sealed record ServeAnswer(
    string T, string? Phase = null, int? Done = null, int? Total = null, string? Code = null, string? File = null, string? Node = null, string? Message = null,
    string? Importance = null, string? Text = null, string? Summary = null, IReadOnlyList<string>? Files = null, ServeResult? Result = null);

/// <summary>What a build made, for whoever reports on many.</summary>
/// <param name="Key">In the store; null without one.</param>
/// <param name="Stages">By stage: built, or taken from the store.</param>
/// <param name="Seconds">By phase.</param>
/// <param name="SqnrDb">Of the worst output; null where it was not measured.</param>
/// <param name="Speedup">Where MinSpeedup asked for it.</param>
/// <param name="Missed">Gates that were missed and did not stop the build.</param>
/// <param name="Fallback">The float model is shipped.</param>
internal sealed record ServeResult(
    string? Key, IReadOnlyDictionary<string, string>? Stages, IReadOnlyDictionary<string, double> Seconds, long FloatBytes, long EngineBytes, double? SqnrDb, double? Cosine, double? Speedup,
    IReadOnlyList<string>? Missed, bool Fallback)
{
    public static ServeResult Of(BuildResult result) => new(
        result.Key, result.Report.Stages, result.Report.Seconds, result.Report.FloatBytes, result.Report.EngineBytes,
        Least(result.Report.Quality.Select(q => q.SqnrDb)), Least(result.Report.Quality.Select(q => q.Cosine)), result.Report.Speedup?.Median, result.Report.Missed, result.Manifest.Fallback is not null);

    private static double? Least(IEnumerable<double> values) => values.Min(v => (double?)v);
}
