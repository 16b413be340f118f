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
    /// <param name="cancellationToken">Checked before each evaluation of the model.</param>
    /// <returns>The samples, shaped like <paramref name="latents"/>.</returns>
    /// <exception cref="QuantSdkException">
    /// QSDK7041: the conditioning does not fit; QSDK7042: guidance without unconditional rows; QSDK7043: latents or prediction have the wrong type or shape;
    /// QSDK7050: the cache schedule does not fit the steps; QSDK7051: the model was not built for caching;
    /// QSDK7070: the sampler draws noise, which the other overload takes; and those of <see cref="Sampler.Schedule"/>, <see cref="QuantizedModel.Bind"/> and <see cref="ModelBinding.Run"/>.
    /// </exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public ModelTensor Run(
        ModelTensor latents, Conditioning conditioning, int steps, float guidanceScale = 1f,
        IProgress<DiffusionProgress>? progress = null, CancellationToken cancellationToken = default) =>
        Run(latents, conditioning, new DiffusionOptions { Steps = steps, GuidanceScale = guidanceScale }, progress, cancellationToken);

    /// <summary>Makes samples.</summary>
    /// <param name="latents">Unit normal noise, float, the rows first; see <see cref="TorchNoise"/>. The sampler scales it.</param>
    /// <param name="conditioning">The model's other inputs.</param>
    /// <param name="options">Steps, guidance, noise, and an image to start from.</param>
    /// <param name="progress">Told after each step.</param>
    /// <param name="cancellationToken">Checked before each evaluation of the model.</param>
    /// <returns>The samples, shaped like <paramref name="latents"/>.</returns>
    /// <exception cref="QuantSdkException">As above; QSDK7070: the sampler draws noise and <see cref="DiffusionOptions.Noise"/> gives none; QSDK7071: the image cannot be started from.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public ModelTensor Run(
        ModelTensor latents, Conditioning conditioning, DiffusionOptions options,
        IProgress<DiffusionProgress>? progress = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(latents);
        ArgumentNullException.ThrowIfNull(conditioning);
        ArgumentNullException.ThrowIfNull(options);
        if (latents.Type != "float" || latents.Dimensions.Length < 2 || latents.Count == 0)
            throw new QuantSdkException("QSDK7043", $"The latents are {latents}; float values of shape [rows, …] are expected, and at least one.");
        if (!float.IsFinite(options.GuidanceScale))
            throw new QuantSdkException("QSDK7042", $"guidanceScale is {options.GuidanceScale}; a finite number is expected.");
        if (options.GuidanceRescale is not (>= 0 and <= 1))
            throw new QuantSdkException("QSDK7042", $"GuidanceRescale is {options.GuidanceRescale}; a number from 0 to 1 is expected.");
        var schedule = Sampler.Schedule(options.Steps, WithStart(latents, options));
        if (options.Noise is null && Enumerable.Range(0, schedule.Timesteps.Count).Any(schedule.NeedsNoise))
            throw new QuantSdkException("QSDK7070", $"{Sampler.Name} adds noise at its steps: give DiffusionOptions.Noise, for example TorchNoise.Rows(seeds), and draw the latents from it.");
        var rows = (int)latents.Dimensions[0];
        if (options.Noise?.Fits(rows) == false)
            throw new QuantSdkException("QSDK7070", $"DiffusionOptions.Noise does not have one seed for each of the {rows} rows of the latents.");
        var guided = options.GuidanceScale != 1f;
        long[] batchShape = [guided ? 2L * rows : rows, .. latents.Dimensions[1..]];
        using var run = Caching(schedule).Begin(batchShape, conditioning.Batch(rows, guided));
        return ModelTensor.Build(latents.Dimensions, sample =>
        {
            if (options.Image is { } image)
                schedule.AddNoise(image.AsSpan<float>(), latents.AsSpan<float>(), sample);
            else
                TensorPrimitives.Multiply(latents.AsSpan<float>(), schedule.InitNoiseSigma, sample);
            Denoise(run, schedule, sample, rows, options, progress, cancellationToken);
        });
    }

    /// <summary>The sampler's options, and where a run that starts from an image joins in.</summary>
    private ScheduleOptions? WithStart(ModelTensor latents, DiffusionOptions options)
    {
        if (options.Image is not { } image)
            return options.Strength == 1 ? ScheduleOptions
                : throw new QuantSdkException("QSDK7071", $"Strength is {options.Strength}, and there is no Image to start from.");
        if (image.Type != "float" || !image.Dimensions.SequenceEqual(latents.Dimensions))
            throw new QuantSdkException("QSDK7071", $"The image is {image}; it must be shaped like the latents, {latents}.");
        var taken = options.Strength is > 0 and <= 1 ? (int)Math.Min(options.Steps * options.Strength, options.Steps) : 0;
        return taken > 0 ? (ScheduleOptions ?? ScheduleOptions.Default) with { StartStep = options.Steps - taken }
            : throw new QuantSdkException("QSDK7071", $"Strength is {options.Strength} and Steps {options.Steps}; at least one step must be taken, and Strength be at most 1.");
    }

    private static void Denoise(
        IDenoiserRun run, SamplerSchedule schedule, Span<float> sample, int rows, DiffusionOptions options,
        IProgress<DiffusionProgress>? progress, CancellationToken cancellationToken)
    {
        var started = Stopwatch.GetTimestamp();
        var stepStarted = started;
        var evaluations = schedule.Timesteps.Count;
        var guided = options.GuidanceScale != 1f;
        var output = new float[sample.Length];
        var noise = new float[options.Noise is null ? 0 : sample.Length];
        for (var i = 0; i < evaluations; i++)
        {
            cancellationToken.ThrowIfCancellationRequested();
            var input = run.Sample;
            schedule.ScaleInput(i, sample, input[..sample.Length]);
            if (guided)
                input[..sample.Length].CopyTo(input[sample.Length..]);
            var prediction = run.Predict(schedule.Steps[i], schedule.Timesteps[i], cancellationToken);
            Guide(prediction, output, rows, guided ? options.GuidanceScale : null, options.GuidanceRescale);
            if (schedule.NeedsNoise(i))
                options.Noise!.Normal(noise, rows);
            schedule.Step(i, output, sample, rows, noise);
            if (i + 1 < evaluations && schedule.Steps[i + 1] == schedule.Steps[i])
                continue;
            var full = run is not CachedDenoiserRun { WasFull: false };
            progress?.Report(new DiffusionProgress(schedule.Steps[i] + 1, schedule.Steps[^1] + 1, Stopwatch.GetElapsedTime(started), full, Stopwatch.GetElapsedTime(stepStarted)));
            stepStarted = Stopwatch.GetTimestamp();
        }
    }

    /// <summary>Takes the predicted part of each row and combines the two halves of a guided batch.</summary>
    private static void Guide(ReadOnlySpan<float> prediction, Span<float> output, int rows, float? guidance, float rescale)
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
            var conditional = prediction.Slice((rows + row) * stride, length);
            TensorPrimitives.Subtract(conditional, first, result);
            TensorPrimitives.MultiplyAdd(result, scale, first, result);
            if (rescale > 0)
                Rescale(result, conditional, rescale);
        }
    }

    private IDenoiser Caching(SamplerSchedule schedule)
    {
        if (Cache is null)
            return _denoiser;
        if (_model?.CachedDenoiser(CachePlan.Of(Cache, schedule.Steps[^1] + 1, _model.Manifest.Cache)) is { } cached)
            return cached;
        throw new QuantSdkException("QSDK7051",
            $"Cache is '{Cache}', but {(_model is null ? "the pipeline's denoiser is the app's own" : $"'{_model.Manifest.Name}' was built without Cache")}. Give the QuantizedModel item the metadata Cache, or leave DiffusionPipeline.Cache out.");
    }

    /// <summary>result ← φ·result·std(conditional)/std(result) + (1−φ)·result (Lin et al. 2023, equations 15 and 16).</summary>
    private static void Rescale(Span<float> result, ReadOnlySpan<float> conditional, float phi)
    {
        var deviation = TensorPrimitives.StdDev<float>(result);
        if (deviation > 0)
            TensorPrimitives.Multiply(result, phi * TensorPrimitives.StdDev(conditional) / deviation + (1 - phi), result);
    }

    private static IDenoiser Denoiser(QuantizedModel model)
    {
        ArgumentNullException.ThrowIfNull(model);
        return model.Denoiser ?? throw new QuantSdkException("QSDK7040",
            $"'{model.Manifest.Name}' has no sample and timestep among its inputs ({string.Join(", ", model.Inputs.Select(input => input.Name))}), so that it cannot run in a diffusion loop. " +
            "Name them with SampleInput and TimestepInput of the QuantizedModel item.");
    }
}
