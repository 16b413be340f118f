namespace QuantSdk.Runtime;

/// <summary>One evaluation of the model and what the sampler makes of it.</summary>
/// <param name="Timestep">The timestep that the model is told.</param>
/// <param name="Step">The step that the evaluation belongs to.</param>
/// <param name="Assignments">What is done with the prediction, in this order.</param>
/// <param name="InputDivisor">What the sample is divided by before the model sees it.</param>
internal sealed record Evaluation(float Timestep, int Step, Assignment[] Assignments, float InputDivisor = 1)
{
    public bool NeedsNoise { get; } = Assignments.Any(assignment => assignment.Terms.Any(term => term.Register == Register.Noise));
}
