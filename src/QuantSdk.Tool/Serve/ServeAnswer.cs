namespace QuantSdk.Tool.Serve;

/// <summary>One line of the answer. <paramref name="T"/> says which of the others are set: phase, progress, warning, error, message, inputs, done.</summary>
/// <param name="Files">Of `inputs`: files that the model names and the build cannot know, its external data.</param>
internal sealed record ServeAnswer(
    string T, string? Phase = null, int? Done = null, int? Total = null, string? Code = null, string? File = null, string? Node = null, string? Message = null,
    string? Importance = null, string? Text = null, string? Summary = null, IReadOnlyList<string>? Files = null);
