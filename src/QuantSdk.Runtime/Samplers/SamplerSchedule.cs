namespace QuantSdk.Runtime;

/// <summary>
/// The steps of one run of a <see cref="Sampler"/>. It may keep state between steps (multistep samplers do), so that it serves one run at a time,
/// with the steps taken in order.
/// </summary>
public abstract class SamplerSchedule
{
    private protected SamplerSchedule(float[] timesteps, float[] sigmas, float initNoiseSigma) =>
        (Timesteps, Sigmas, InitNoiseSigma) = (Array.AsReadOnly(timesteps), Array.AsReadOnly(sigmas), initNoiseSigma);

    /// <summary>The timestep of each model evaluation, in the units of the training schedule, the noisiest first.</summary>
    public IReadOnlyList<float> Timesteps { get; }

    /// <summary>The noise level of each step and after the last one; empty for samplers that do not work with noise levels.</summary>
    public IReadOnlyList<float> Sigmas { get; }

    /// <summary>The factor on unit normal noise that makes the first sample.</summary>
    public float InitNoiseSigma { get; }

    /// <summary>Writes what the model sees at a step: the sample, scaled where the sampler asks for it.</summary>
    /// <param name="index">The step, from 0.</param>
    /// <param name="sample">The current sample.</param>
    /// <param name="scaled">Receives the model's input; as long as <paramref name="sample"/>.</param>
    public virtual void ScaleInput(int index, ReadOnlySpan<float> sample, Span<float> scaled) => sample.CopyTo(scaled);

    /// <summary>Advances the sample, in place.</summary>
    /// <param name="index">The step, from 0.</param>
    /// <param name="modelOutput">The model's prediction; as long as <paramref name="sample"/>.</param>
    /// <param name="sample">The current sample; becomes the next one.</param>
    /// <param name="rows">How many samples of equal length lie in the span: dynamic thresholding looks at each by itself.</param>
    /// <exception cref="ArgumentException">The spans differ in length, or the rows do not divide it.</exception>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="index"/> is no step of this schedule.</exception>
    public void Step(int index, ReadOnlySpan<float> modelOutput, Span<float> sample, int rows = 1)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(index);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(index, Timesteps.Count);
        if (modelOutput.Length != sample.Length)
            throw new ArgumentException($"The prediction has {modelOutput.Length} values, the sample {sample.Length}.", nameof(modelOutput));
        if (rows < 1 || sample.Length % rows != 0)
            throw new ArgumentException($"{sample.Length} values cannot be {rows} rows of equal length.", nameof(rows));
        Advance(index, modelOutput, sample, rows);
    }

    private protected abstract void Advance(int index, ReadOnlySpan<float> modelOutput, Span<float> sample, int rows);
}
