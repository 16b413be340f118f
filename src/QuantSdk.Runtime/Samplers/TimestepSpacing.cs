namespace QuantSdk.Runtime;

/// <summary>Which training timesteps a run visits, by diffusers' three rules (Lin et al. 2023, table 2). The noisiest comes first.</summary>
internal static class TimestepSpacing
{
    public const string Leading = "leading", LinSpace = "linspace", Trailing = "trailing";

    public static string Read(SamplerConfig config, string fallback) => config.Choice("timestep_spacing", fallback, Leading, LinSpace, Trailing);

    /// <summary>Whole timesteps: linspace(0, N−1, n) rounded; i·⌊N/n⌋ + offset; or N − i·N/n rounded, less one.</summary>
    public static int[] Whole(string spacing, int trainTimesteps, int steps, int offset)
    {
        var timesteps = new int[steps];
        for (var i = 0; i < steps; i++)
            timesteps[i] = spacing switch
            {
                LinSpace => (int)Math.Round(steps == 1 ? 0 : (double)(trainTimesteps - 1) / (steps - 1) * (steps - 1 - i)),
                Trailing => (int)Math.Round(trainTimesteps - i * ((double)trainTimesteps / steps)) - 1,
                _ => trainTimesteps / steps * (steps - 1 - i) + offset,
            };
        return timesteps;
    }

    /// <summary>The same for samplers that work between timesteps: linspace is not rounded.</summary>
    public static float[] Fractional(string spacing, int trainTimesteps, int steps, int offset) => spacing == LinSpace
        ? [.. Enumerable.Range(0, steps).Select(i => steps == 1 ? 0f : (float)((double)(trainTimesteps - 1) / (steps - 1) * (steps - 1 - i)))]
        : Array.ConvertAll(Whole(spacing, trainTimesteps, steps, offset), timestep => (float)timestep);

    /// <summary>The first n of n + 1 whole timesteps: the multistep samplers end between the last one and the image.</summary>
    /// <param name="spacing">The rule.</param>
    /// <param name="last">One more than the noisiest timestep allowed.</param>
    /// <param name="trainTimesteps">The length of the training schedule.</param>
    /// <param name="steps">n.</param>
    /// <param name="offset">Added under leading.</param>
    public static int[] WholeButLast(string spacing, int last, int trainTimesteps, int steps, int offset) => spacing switch
    {
        Trailing => [.. Enumerable.Range(0, steps).Select(i => (int)Math.Round(last - i * ((double)trainTimesteps / steps)) - 1)],
        _ => Whole(spacing, last, steps + 1, offset)[..^1],
    };
}
