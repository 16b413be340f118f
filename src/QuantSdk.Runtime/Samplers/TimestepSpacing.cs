namespace QuantSdk.Runtime;

/// <summary>Which training timesteps a run visits, by diffusers' three rules (Lin et al. 2023, table 2). The noisiest comes first.</summary>
internal static class TimestepSpacing
{
    public const string Leading = "leading", LinSpace = "linspace", Trailing = "trailing";

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
}
