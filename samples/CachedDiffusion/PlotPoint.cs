namespace CachedDiffusion;

/// <summary>A schedule in a plot.</summary>
/// <param name="Speedup">Against every step full.</param>
/// <param name="Change">Relative L2 difference of the images from those.</param>
internal sealed record PlotPoint(string Name, double Speedup, double Change);
