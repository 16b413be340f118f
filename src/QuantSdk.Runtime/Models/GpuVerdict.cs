namespace QuantSdk.Runtime;

/// <summary>Whether a variant can run on a GPU here.</summary>
/// <param name="Refusal">Why not, or null.</param>
/// <param name="Note">What is worth knowing where it can; may be empty.</param>
internal readonly record struct GpuVerdict(string? Refusal, string Note);
