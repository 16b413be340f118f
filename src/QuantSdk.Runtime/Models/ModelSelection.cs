namespace QuantSdk.Runtime;

/// <summary>Which of a model's files was loaded, and why.</summary>
/// <param name="Target">The variant's target, such as <c>cpu</c>.</param>
/// <param name="Provider">The execution provider of ONNX Runtime that runs it.</param>
/// <param name="Model">The file, relative to the model's folder.</param>
/// <param name="Optimised">Whether it is the graph that ONNX Runtime optimised at build time for this CPU; else it was optimised while loading.</param>
/// <param name="Reasons">Why every variant or file before this one was passed over, and what speaks for this one.</param>
public sealed record ModelSelection(string Target, string Provider, string Model, bool Optimised, IReadOnlyList<string> Reasons)
{
    /// <summary>One line for a log.</summary>
    public override string ToString() => $"{Target} ({Provider}), {Model}: {string.Join("; ", Reasons)}";
}
