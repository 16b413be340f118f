namespace QuantSdk.Tool.Serve;

/// <summary>One line of the answer. <paramref name="T"/> says which of the others are set: phase, progress, warning, error, message, inputs, done.</summary>
/// <param name="Key">Of `done`: the model's key in the store; null without one.</param>
/// <param name="Hit">Of `done`: the whole model was in the store.</param>
/// <param name="Stages">Of `done`: what each stage was, built or taken from the store.</param>
/// <param name="Files">Of `inputs`: files that the model names and the build cannot know, its external data.</param>
internal sealed record ServeAnswer(
    string T, string? Phase = null, int? Done = null, int? Total = null, string? Code = null, string? File = null, string? Node = null, string? Message = null,
    string? Importance = null, string? Text = null, string? Summary = null, string? Key = null, bool? Hit = null, IReadOnlyDictionary<string, string>? Stages = null, IReadOnlyList<string>? Files = null);
