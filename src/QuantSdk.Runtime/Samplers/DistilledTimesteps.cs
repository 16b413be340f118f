namespace QuantSdk.Runtime;

/// <summary>The timesteps of models that were distilled on a coarse schedule of their own (Luo et al. 2023, §4.3).</summary>
internal static class DistilledTimesteps
{
    public static int Read(SamplerConfig config, int trainTimesteps)
    {
        var steps = config.Int("original_inference_steps", 50, least: 1);
        return steps <= trainTimesteps ? steps
            : throw config.Unusable($"'original_inference_steps' is {steps}; at most num_train_timesteps, {trainTimesteps}, is expected.");
    }

    /// <summary>Evenly chosen from i·⌊N/original⌋ − 1 for i = original … 1.</summary>
    public static int[] Of(int trainTimesteps, int originalSteps, int steps)
    {
        var spacing = (double)originalSteps / steps;
        return [.. Enumerable.Range(0, steps).Select(i => (originalSteps - (int)Math.Floor(i * spacing)) * (trainTimesteps / originalSteps) - 1)];
    }
}
