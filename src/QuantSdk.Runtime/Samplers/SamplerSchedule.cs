using System.Numerics;
using System.Numerics.Tensors;

namespace QuantSdk.Runtime;

/// <summary>
/// The steps of one run of a <see cref="Sampler"/>. It may keep state between steps (multistep samplers do), so that it serves one run at a time,
/// with the evaluations taken in order.
/// </summary>
public sealed class SamplerSchedule
{
    private readonly Evaluation[] _evaluations;
    private readonly (double Image, double Noise) _start;
    private readonly SampleState<float> _floats;
    private readonly SampleState<double> _doubles;

    /// <summary>Lays out a run.</summary>
    /// <param name="evaluations">At least one.</param>
    /// <param name="start">The mixture of image and noise that a run from an image starts with.</param>
    internal SamplerSchedule(IReadOnlyList<Evaluation> evaluations, IReadOnlyList<float> sigmas, float initNoiseSigma, (double Image, double Noise) start, SampleBounds bounds)
    {
        _evaluations = [.. evaluations];
        _start = start;
        Timesteps = Array.AsReadOnly(Array.ConvertAll(_evaluations, evaluation => evaluation.Timestep));
        Steps = Array.AsReadOnly(Array.ConvertAll(_evaluations, evaluation => evaluation.Step - _evaluations[0].Step));
        Sigmas = Array.AsReadOnly([.. sigmas]);
        InitNoiseSigma = initNoiseSigma;
        var last = _evaluations.SelectMany(evaluation => evaluation.Assignments).Max(assignment => assignment.Target);
        _floats = new(bounds, last - Register.Kept + 1 is > 0 and var registers ? registers : 0);
        _doubles = new(bounds, last - Register.Kept + 1 is > 0 and var count ? count : 0);
    }

    /// <summary>The timestep of each model evaluation, in the units of the training schedule, the noisiest first.</summary>
    public IReadOnlyList<float> Timesteps { get; }

    /// <summary>The step of each model evaluation, from 0 where the run begins; most samplers evaluate once a step, Heun twice.</summary>
    public IReadOnlyList<int> Steps { get; }

    /// <summary>The noise level of each evaluation and after the last one; empty for samplers that do not work with noise levels.</summary>
    public IReadOnlyList<float> Sigmas { get; }

    /// <summary>The factor on unit normal noise that makes the first sample.</summary>
    public float InitNoiseSigma { get; }

    /// <summary>Whether <see cref="Step"/> needs fresh noise after an evaluation.</summary>
    /// <param name="index">The evaluation, from 0.</param>
    public bool NeedsNoise(int index) => _evaluations[index].NeedsNoise;

    /// <summary>Mixes an image with noise as the first evaluation expects it, for a run that starts from an image.</summary>
    /// <param name="image">A clean sample.</param>
    /// <param name="noise">Unit normal noise; as long as <paramref name="image"/>.</param>
    /// <param name="sample">Receives the noisy sample; as long as <paramref name="image"/>.</param>
    /// <exception cref="ArgumentException">The spans differ in length.</exception>
    public void AddNoise(ReadOnlySpan<float> image, ReadOnlySpan<float> noise, Span<float> sample)
    {
        if (image.Length != noise.Length || image.Length != sample.Length)
            throw new ArgumentException($"The image has {image.Length} values, the noise {noise.Length}, the sample {sample.Length}.", nameof(noise));
        LinearCombination.Assign(sample, (float)_start.Image, image, (float)_start.Noise, noise);
    }

    /// <summary>Writes what the model sees at an evaluation: the sample, scaled where the sampler asks for it.</summary>
    /// <param name="index">The evaluation, from 0.</param>
    /// <param name="sample">The current sample.</param>
    /// <param name="scaled">Receives the model's input; as long as <paramref name="sample"/>.</param>
    public void ScaleInput(int index, ReadOnlySpan<float> sample, Span<float> scaled) => ScaleInput<float>(index, sample, scaled);

    internal void ScaleInput<T>(int index, ReadOnlySpan<T> sample, Span<T> scaled)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        if (_evaluations[index].InputDivisor is not 1f and var divisor)
            TensorPrimitives.Divide(sample, T.CreateTruncating(divisor), scaled);
        else
            sample.CopyTo(scaled);
    }

    /// <summary>Advances the sample, in place.</summary>
    /// <param name="index">The evaluation, from 0.</param>
    /// <param name="modelOutput">The model's prediction; as long as <paramref name="sample"/>.</param>
    /// <param name="sample">The current sample; becomes the next one.</param>
    /// <param name="rows">How many samples of equal length lie in the span: dynamic thresholding looks at each by itself.</param>
    /// <param name="noise">Unit normal noise where <see cref="NeedsNoise"/> asks for it, as long as <paramref name="sample"/>; else it is not looked at.</param>
    /// <exception cref="ArgumentException">The spans differ in length, or the rows do not divide it.</exception>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="index"/> is no evaluation of this schedule.</exception>
    public void Step(int index, ReadOnlySpan<float> modelOutput, Span<float> sample, int rows = 1, ReadOnlySpan<float> noise = default)
    {
        Check(index, modelOutput, sample, rows, noise);
        _floats.Run(_evaluations[index], modelOutput, noise, sample, rows);
    }

    /// <summary>The same in double, for comparison with runs that were recorded so.</summary>
    internal void StepInDouble(int index, ReadOnlySpan<double> modelOutput, Span<double> sample, int rows, ReadOnlySpan<double> noise)
    {
        Check(index, modelOutput, sample, rows, noise);
        _doubles.Run(_evaluations[index], modelOutput, noise, sample, rows);
    }

    private void Check<T>(int index, ReadOnlySpan<T> modelOutput, Span<T> sample, int rows, ReadOnlySpan<T> noise)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(index);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(index, _evaluations.Length);
        if (modelOutput.Length != sample.Length)
            throw new ArgumentException($"The prediction has {modelOutput.Length} values, the sample {sample.Length}.", nameof(modelOutput));
        if (rows < 1 || sample.Length % rows != 0)
            throw new ArgumentException($"{sample.Length} values cannot be {rows} rows of equal length.", nameof(rows));
        if (_evaluations[index].NeedsNoise && noise.Length != sample.Length)
            throw new ArgumentException($"Evaluation {index} needs noise: {sample.Length} values, not {noise.Length}.", nameof(noise));
    }
}
