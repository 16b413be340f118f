namespace QuantSdk.Runtime;

/// <summary>How far a diffusion run has come.</summary>
/// <param name="Step">The number of steps done, from 1.</param>
/// <param name="Steps">The number of steps of the run.</param>
/// <param name="Elapsed">The time since the run began.</param>
public readonly record struct DiffusionProgress(int Step, int Steps, TimeSpan Elapsed);
