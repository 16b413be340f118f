using System.Numerics.Tensors;

namespace QuantSdk.Runtime;

/// <summary>One run of <see cref="FlowMatchEulerSampler"/>: x ← x + (σ' − σ)·v.</summary>
internal sealed class FlowMatchEulerSchedule(float[] timesteps, float[] sigmas) : SamplerSchedule(timesteps, sigmas, initNoiseSigma: 1f)
{
    private protected override void Advance(int index, ReadOnlySpan<float> modelOutput, Span<float> sample, int rows) =>
        TensorPrimitives.MultiplyAdd(modelOutput, Sigmas[index + 1] - Sigmas[index], sample, sample);
}
