namespace QuantSdk.Runtime;

/// <summary>
/// A diffusion sampler as a diffusers <c>scheduler_config.json</c> describes it. Immutable: <see cref="Schedule"/> gives the object that one run steps through.
/// </summary>
public abstract class Sampler
{
    /// <summary>The schedulers that can be read, by diffusers' class name.</summary>
    private static readonly SortedDictionary<string, Func<SamplerConfig, Sampler>> Known = new(StringComparer.Ordinal)
    {
        [DdimSampler.ClassName] = config => new DdimSampler(config),
        [DdpmSampler.ClassName] = config => new DdpmSampler(config),
        [DeisSampler.ClassName] = config => new DeisSampler(config),
        [DpmSolverSampler.ClassName] = config => new DpmSolverSampler(config),
        [EulerAncestralSampler.ClassName] = config => new EulerAncestralSampler(config),
        [EulerSampler.ClassName] = config => new EulerSampler(config),
        [FlowMatchEulerSampler.ClassName] = config => new FlowMatchEulerSampler(config),
        [HeunSampler.ClassName] = config => new HeunSampler(config),
        [LcmSampler.ClassName] = config => new LcmSampler(config),
        [LmsSampler.ClassName] = config => new LmsSampler(config),
        [PndmSampler.ClassName] = config => new PndmSampler(config),
        [TcdSampler.ClassName] = config => new TcdSampler(config),
        [UniPcSampler.ClassName] = config => new UniPcSampler(config),
    };

    private protected Sampler(SamplerConfig config)
    {
        Name = config.ClassName;
        TrainTimesteps = config.Int("num_train_timesteps", 1000, least: 1);
    }

    /// <summary>diffusers' class name of the scheduler, for example <c>DDIMScheduler</c>.</summary>
    public string Name { get; }

    /// <summary>The number of timesteps that the model was trained with.</summary>
    public int TrainTimesteps { get; }

    private protected virtual bool TakesEta => false;

    private protected virtual bool TakesShift => false;

    private protected virtual bool TakesSigmas => false;

    /// <summary>Reads diffusers' own <c>scheduler_config.json</c>. Unknown keys are tolerated, missing ones take the class's defaults.</summary>
    /// <param name="path">The file; a relative path starts at <see cref="AppContext.BaseDirectory"/>.</param>
    /// <exception cref="QuantSdkException">QSDK7030: the file cannot be read; QSDK7031: an unknown scheduler; QSDK7032: a value that cannot be used.</exception>
    public static Sampler FromConfig(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        path = Path.GetFullPath(path, AppContext.BaseDirectory);
        string json;
        try
        {
            json = File.ReadAllText(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new QuantSdkException("QSDK7030", $"The scheduler configuration '{path}' cannot be read: {e.Message}", path, inner: e);
        }
        return Create(SamplerConfig.Parse(json, path));
    }

    /// <summary>The same as <see cref="FromConfig"/>, from the text of the file.</summary>
    /// <param name="json">The text of a <c>scheduler_config.json</c>.</param>
    /// <exception cref="QuantSdkException">As with <see cref="FromConfig"/>.</exception>
    public static Sampler FromJson(string json)
    {
        ArgumentNullException.ThrowIfNull(json);
        return Create(SamplerConfig.Parse(json, file: null));
    }

    /// <summary>Lays out a run.</summary>
    /// <param name="steps">The number of steps, 1 or more.</param>
    /// <param name="options">What a pipeline may say beyond the configuration, or null.</param>
    /// <returns>The timesteps and the steps between them; use it for one run at a time.</returns>
    /// <exception cref="QuantSdkException">QSDK7033: the run cannot be laid out with these steps and options.</exception>
    public SamplerSchedule Schedule(int steps, ScheduleOptions? options = null)
    {
        if (steps < 1)
            throw Impossible($"{steps} steps were asked for; at least 1 is needed.");
        options ??= ScheduleOptions.Default;
        if (options.Eta is not null && !TakesEta)
            throw Impossible("Eta is an option of DDIM and TCD; leave it out.");
        if (options.Eta is not (null or (>= 0 and <= 1)))
            throw Impossible($"Eta is {options.Eta}; a number from 0 to 1 is expected.");
        if ((options.Mu is not null || options.ImageSequenceLength is not null) && !TakesShift || options.Sigmas is not null && !TakesSigmas)
            throw Impossible("Mu, ImageSequenceLength and Sigmas are options of flow matching; leave them out.");
        if (options.StartStep < 0 || options.StartStep >= steps)
            throw Impossible($"StartStep is {options.StartStep}; a step from 0 to {steps - 1} is expected.");
        return CreateSchedule(steps, options);
    }

    private protected abstract SamplerSchedule CreateSchedule(int steps, ScheduleOptions options);

    /// <summary>Refuses timesteps beyond the training schedule.</summary>
    private protected void CheckTimesteps(ReadOnlySpan<int> timesteps, int steps)
    {
        if (steps > TrainTimesteps)
            throw Impossible($"{steps} steps were asked for; the model was trained with {TrainTimesteps}.");
        if (timesteps[0] >= TrainTimesteps)
            throw Impossible($"with {steps} steps and this steps_offset the first timestep is {timesteps[0]}, beyond the last one of the training schedule, {TrainTimesteps - 1}. Use fewer steps.");
    }

    /// <summary>Refuses ε-prediction from nothing but noise.</summary>
    private protected void CheckSignal(NoiseTable table, IEnumerable<int> timesteps, Prediction prediction)
    {
        if (prediction == Prediction.Epsilon && !table.HasSignal(timesteps))
            throw Impossible("prediction_type is epsilon and the first timestep holds no signal (rescale_betas_zero_snr), so that the image cannot be told from the noise. Such models predict v or the sample.");
    }

    private protected QuantSdkException Impossible(string message) => new("QSDK7033", $"{Name}: {message}");

    private static Sampler Create(SamplerConfig config) => Known.TryGetValue(config.ClassName, out var create)
        ? create(config)
        : throw new QuantSdkException("QSDK7031",
            $"The scheduler '{config.ClassName}'{(config.File is null ? "" : $" of '{config.File}'")} is not known. Supported: {string.Join(", ", Known.Keys)}.", config.File);
}
