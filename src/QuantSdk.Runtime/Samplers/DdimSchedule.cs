using System.Numerics.Tensors;

namespace QuantSdk.Runtime;

/// <summary>One run of <see cref="DdimSampler"/>: x ← √ᾱ'·x0 + √(1−ᾱ')·ε, where ᾱ' belongs to the next timestep.</summary>
internal sealed class DdimSchedule : SamplerSchedule
{
    private readonly DdimSampler _sampler;
    private readonly Coefficients[] _steps;
    private float[] _clean = [], _scratch = [];

    public DdimSchedule(DdimSampler sampler, int[] timesteps, float[] alphas, float[] nextAlphas)
        : base(Array.ConvertAll(timesteps, timestep => (float)timestep), [], initNoiseSigma: 1f)
    {
        _sampler = sampler;
        _steps = [.. alphas.Zip(nextAlphas, (alpha, next) => Coefficients.Of(sampler.Prediction, alpha, next))];
    }

    private protected override void Advance(int index, ReadOnlySpan<float> modelOutput, Span<float> sample, int rows)
    {
        var step = _steps[index];
        if (_sampler.Bounds.Any)
            AdvanceBounded(step, modelOutput, sample, rows);
        else
            LinearCombination.Assign(sample, step.Sample, modelOutput, step.Output);
    }

    private void AdvanceBounded(Coefficients step, ReadOnlySpan<float> modelOutput, Span<float> sample, int rows)
    {
        var length = sample.Length / rows;
        if (_clean.Length < length)
            (_clean, _scratch) = (new float[length], new float[length]);
        var clean = _clean.AsSpan(0, length);
        for (var row = 0; row < rows; row++)
        {
            var output = modelOutput.Slice(row * length, length);
            var current = sample.Slice(row * length, length);
            current.CopyTo(clean);
            LinearCombination.Assign(clean, step.CleanSample, output, step.CleanOutput);
            _sampler.Bounds.Apply(clean, _scratch.AsSpan(0, length));
            // ε comes from the prediction itself, not from the bounded x0 (use_clipped_model_output = false).
            LinearCombination.Assign(current, step.NoiseSample, output, step.NoiseOutput);
            TensorPrimitives.MultiplyAdd(clean, step.NextSignal, current, current);
        }
    }

    /// <summary>The step as linear maps: the whole step where nothing is bounded, else its parts.</summary>
    private readonly record struct Coefficients(
        float Sample, float Output, float CleanSample, float CleanOutput, float NoiseSample, float NoiseOutput, float NextSignal)
    {
        public static Coefficients Of(Prediction prediction, double alpha, double nextAlpha)
        {
            var (signal, noise) = (Math.Sqrt(alpha), Math.Sqrt(1 - alpha));
            var (nextSignal, nextNoise) = (Math.Sqrt(nextAlpha), Math.Sqrt(1 - nextAlpha));
            var clean = prediction.ToClean(signal, noise);
            var direction = prediction.ToNoise(signal, noise);
            return new(
                (float)(nextSignal * clean.Sample + nextNoise * direction.Sample),
                (float)(nextSignal * clean.Output + nextNoise * direction.Output),
                (float)clean.Sample, (float)clean.Output,
                (float)(nextNoise * direction.Sample), (float)(nextNoise * direction.Output),
                (float)nextSignal);
        }
    }
}
