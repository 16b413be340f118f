namespace QuantSdk.Runtime;

/// <summary>How far a diffusion run has come.</summary>
/// <param name="Step">The number of steps done, from 1.</param>
/// <param name="Steps">The number of steps of the run.</param>
/// <param name="Elapsed">The time since the run began.</param>
/// <param name="Full">Whether the step ran the whole model; else the live part on cached features.</param>
/// <param name="Duration">The time that the step took.</param>
public readonly record struct DiffusionProgress(int Step, int Steps, TimeSpan Elapsed, bool Full, TimeSpan Duration);
