using System.Diagnostics;
using System.Numerics.Tensors;

namespace QuantSdk.Runtime;

/// <summary>
/// Turns noise into samples: a sampler's steps over a model's predictions, with classifier-free guidance in one batch (Ho and Salimans 2022):
/// prediction = unconditional + guidanceScale · (conditional − unconditional). Runs may be made one after another, or at once from several threads.
/// </summary>
public sealed class DiffusionPipeline
{
    private readonly IDenoiser _denoiser;
    private readonly QuantizedModel? _model;

    /// <summary>Runs a built model.</summary>
    /// <param name="model">A model whose manifest names a sample and a timestep input. It must outlive the pipeline.</param>
    /// <param name="sampler">The sampler that the model was trained for.</param>
    /// <exception cref="QuantSdkException">QSDK7040: the model is no denoiser.</exception>
    public DiffusionPipeline(QuantizedModel model, Sampler sampler)
        : this(Denoiser(model), sampler) => _model = model;

    /// <summary>Runs anything that predicts.</summary>
    /// <param name="denoiser">What predicts.</param>
    /// <param name="sampler">The sampler.</param>
    public DiffusionPipeline(IDenoiser denoiser, Sampler sampler)
    {
        ArgumentNullException.ThrowIfNull(denoiser);
        ArgumentNullException.ThrowIfNull(sampler);
        (_denoiser, Sampler) = (denoiser, sampler);
    }

    /// <summary>The sampler.</summary>
    public Sampler Sampler { get; }

    /// <summary>What the sampler needs beyond its configuration; null for nothing.</summary>
    public ScheduleOptions? ScheduleOptions { get; init; }

    /// <summary>Which steps run the whole model, where it was built with <c>Cache</c>; null for all of them.</summary>
    public CacheSchedule? Cache { get; init; }

    /// <summary>Makes samples.</summary>
    /// <param name="latents">Unit normal noise, float, the rows first; see <see cref="TorchRandom"/>. The sampler scales it.</param>
    /// <param name="conditioning">The model's other inputs.</param>
    /// <param name="steps">The number of steps, 1 or more.</param>
    /// <param name="guidanceScale">The strength of guidance; 1 turns it off and halves the work.</param>
    /// <param name="progress">Told after each step.</param>
    /// <param name="cancellationToken">Checked before each step.</param>
    /// <returns>The samples, shaped like <paramref name="latents"/>.</returns>
    /// <exception cref="QuantSdkException">
    /// QSDK7041: the conditioning does not fit; QSDK7042: guidance without unconditional rows; QSDK7043: latents or prediction have the wrong type or shape;
    /// QSDK7050: the cache schedule does not fit the steps; QSDK7051: the model was not built for caching;
    /// and those of <see cref="Sampler.Schedule"/>, <see cref="QuantizedModel.Bind"/> and <see cref="ModelBinding.Run"/>.
    /// </exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public ModelTensor Run(
        ModelTensor latents, Conditioning conditioning, int steps, float guidanceScale = 1f,
        IProgress<DiffusionProgress>? progress = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(latents);
        ArgumentNullException.ThrowIfNull(conditioning);
        if (latents.Type != "float" || latents.Dimensions.Length < 2 || latents.Count == 0)
            throw new QuantSdkException("QSDK7043", $"The latents are {latents}; float values of shape [rows, …] are expected, and at least one.");
        if (!float.IsFinite(guidanceScale))
            throw new QuantSdkException("QSDK7042", $"guidanceScale is {guidanceScale}; a finite number is expected.");
        var schedule = Sampler.Schedule(steps, ScheduleOptions);
        var rows = (int)latents.Dimensions[0];
        var guided = guidanceScale != 1f;
        long[] batchShape = [guided ? 2L * rows : rows, .. latents.Dimensions[1..]];
        using var run = Caching(schedule).Begin(batchShape, conditioning.Batch(rows, guided));
        return ModelTensor.Build(latents.Dimensions, sample =>
        {
            TensorPrimitives.Multiply(latents.AsSpan<float>(), schedule.InitNoiseSigma, sample);
            Denoise(run, schedule, sample, rows, guided ? guidanceScale : null, progress, cancellationToken);
        });
    }

    private static void Denoise(
        IDenoiserRun run, SamplerSchedule schedule, Span<float> sample, int rows, float? guidance,
        IProgress<DiffusionProgress>? progress, CancellationToken cancellationToken)
    {
        var started = Stopwatch.GetTimestamp();
        var steps = schedule.Timesteps.Count;
        var output = new float[sample.Length];
        for (var i = 0; i < steps; i++)
        {
            cancellationToken.ThrowIfCancellationRequested();
            var stepStarted = Stopwatch.GetTimestamp();
            var input = run.Sample;
            schedule.ScaleInput(i, sample, input[..sample.Length]);
            if (guidance is not null)
                input[..sample.Length].CopyTo(input[sample.Length..]);
            var prediction = run.Predict(i, schedule.Timesteps[i], cancellationToken);
            Guide(prediction, output, rows, guidance);
            schedule.Step(i, output, sample, rows);
            progress?.Report(new DiffusionProgress(
                i + 1, steps, Stopwatch.GetElapsedTime(started), run is not CachedDenoiserRun { WasFull: false }, Stopwatch.GetElapsedTime(stepStarted)));
        }
    }

    /// <summary>Takes the predicted part of each row and combines the two halves of a guided batch.</summary>
    private static void Guide(ReadOnlySpan<float> prediction, Span<float> output, int rows, float? guidance)
    {
        var length = output.Length / rows;
        var batch = guidance is null ? rows : 2 * rows;
        var stride = prediction.Length / batch;
        if (prediction.Length % batch != 0 || stride != length && stride != 2 * length)
            throw new QuantSdkException("QSDK7043",
                $"The model predicts {prediction.Length} values for {batch} rows of {length}: each row must be as long as the sample's, or twice as long (the first half is the prediction).");
        for (var row = 0; row < rows; row++)
        {
            var first = prediction.Slice(row * stride, length);
            var result = output.Slice(row * length, length);
            if (guidance is not { } scale)
            {
                first.CopyTo(result);
                continue;
            }
            TensorPrimitives.Subtract(prediction.Slice((rows + row) * stride, length), first, result);
            TensorPrimitives.MultiplyAdd(result, scale, first, result);
        }
    }

    private IDenoiser Caching(SamplerSchedule schedule)
    {
        if (Cache is null)
            return _denoiser;
        if (_model?.CachedDenoiser(CachePlan.Of(Cache, [.. Enumerable.Range(0, schedule.Timesteps.Count)], _model.Manifest.Cache)) is { } cached)
            return cached;
        throw new QuantSdkException("QSDK7051",
            $"Cache is '{Cache}', but {(_model is null ? "the pipeline's denoiser is the app's own" : $"'{_model.Manifest.Name}' was built without Cache")}. Give the QuantizedModel item the metadata Cache, or leave DiffusionPipeline.Cache out.");
    }

    private static IDenoiser Denoiser(QuantizedModel model)
    {
        ArgumentNullException.ThrowIfNull(model);
        return model.Denoiser ?? throw new QuantSdkException("QSDK7040",
            $"'{model.Manifest.Name}' has no sample and timestep among its inputs ({string.Join(", ", model.Inputs.Select(input => input.Name))}), so that it cannot run in a diffusion loop. " +
            "Name them with SampleInput and TimestepInput of the QuantizedModel item.");
    }
}
