namespace QuantSdk.Runtime;

/// <summary>target ← Σ factor·register. The target may be read by the first term alone.</summary>
/// <param name="Bounded">Whether the sampler's <see cref="SampleBounds"/> are applied to the result.</param>
internal sealed record Assignment(Register Target, Term[] Terms, bool Bounded = false);
