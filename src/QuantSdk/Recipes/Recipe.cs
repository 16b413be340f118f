namespace QuantSdk.Recipes;

/// <summary>What the user asked for, with every default written out. Later stages read nothing else of the request.</summary>
internal sealed record Recipe
{
    public int Schema { get; init; } = 1;

    /// <summary>Folder under models/.</summary>
    public required string Name { get; init; }

    /// <summary>What was asked for in one word: a format, auto or none. <see cref="Weights"/> and <see cref="Activations"/> are what it means.</summary>
    public string Precision { get; init; } = "int8";

    /// <summary>Format of weights: int8, fp8, fp8-e5m2, int4, int2, nf4, mxfp8, nvfp4 or float.</summary>
    public string Weights { get; init; } = "int8";

    /// <summary>Format of what the weights are multiplied with: int8, int8-dynamic (ranges found at run time; over the whole batch, so that one row's values depend on the others), fp8, fp8-e5m2, mxfp8, nvfp4 or float.</summary>
    public string Activations { get; init; } = "int8";

    /// <summary>Weights of one scale along the reduction axis of linear layers; 0: one scale an output channel. Null: by format.</summary>
    public int? BlockSize { get; init; }

    /// <summary>int4 and int2 weights with a zero point for each scale.</summary>
    public bool WeightZeroPoint { get; init; }

    /// <summary>nearest, or error: rounding that minimises the layer's output error ΔwᵀHΔw; auto: error below 8 bits.</summary>
    public string Rounding { get; init; } = "auto";

    /// <summary>Files, as given; relative to the project.</summary>
    public IReadOnlyList<string> CalibrationData { get; init; } = [];

    /// <summary>Files with rows for the quality check, never calibrated on.</summary>
    public IReadOnlyList<string> ValidationData { get; init; } = [];

    /// <summary>A diffusers scheduler_config.json: calibrate by sampling.</summary>
    public string? Scheduler { get; init; }

    public int Steps { get; init; } = 20;

    public float GuidanceScale { get; init; } = 1;

    public long Seed { get; init; }

    /// <summary>Name of the item whose model turns calibration data into this model's conditioning.</summary>
    public string? ConditionedBy { get; init; }

    public string? SampleInput { get; init; }

    public string? TimestepInput { get; init; }

    public float TimestepScale { get; init; } = 1;

    /// <summary>max, ema, percentile, entropy, mse or timestep.</summary>
    public string Calibrator { get; init; } = "mse";

    /// <summary>In (50, 100]; read by the percentile calibrator.</summary>
    public double Percentile { get; init; } = 99.99;

    /// <summary>Share of the old range that an ema keeps at each batch, in [0, 1).</summary>
    public double Momentum { get; init; } = 0.9;

    /// <summary>Timesteps that the timestep calibrator looks at: `all`, or a closed range of timestep values `LOW-HIGH`.</summary>
    public string Timesteps { get; init; } = "all";

    /// <summary>How the timestep calibrator makes one range of many: min-mean, min-max, mean-max or global-min.</summary>
    public string Collect { get; init; } = "min-mean";

    /// <summary>Rows run at once while calibrating, what ema and min-mean average over; null: as memory allows.</summary>
    public int? CalibrationBatch { get; init; }

    /// <summary>off, auto (α searched for each layer) or one α in [0, 1].</summary>
    public string SmoothQuant { get; init; } = "auto";

    /// <summary>Convolutions behind a Concat of a skip connection get one scale a branch.</summary>
    public bool ConcatSplit { get; init; } = true;

    /// <summary>Biases take up the mean error that quantising makes.</summary>
    public bool BiasCorrection { get; init; } = true;

    /// <summary>1 convolutions, 2 + feed-forward, 2.5 + Q/K/V, 3 + every linear layer, 4 + attention products.</summary>
    public double Level { get; init; } = 3;

    /// <summary>speed: layers that do not pay on the cpu stay in float. size: they do not.</summary>
    public string OptimizeFor { get; init; } = "speed";

    /// <summary>A NAME.costs.json that `quantsdk tune` has measured; null: the table shipped with the tool.</summary>
    public string? Costs { get; init; }

    public IReadOnlyList<string> ExcludeModules { get; init; } = [];

    public IReadOnlyList<string> Only { get; init; } = [];

    /// <summary>The type of whatever is not quantised: fp32, fp16 or bf16; of the tensorrt targets, the cpu's is fp32.</summary>
    public string HighPrecision { get; init; } = "fp32";

    /// <summary>tensorrt, cpu, tensorrt-onnx; in this order, which is the runtime's.</summary>
    public IReadOnlyList<string> Targets { get; init; } = ["cpu"];

    /// <summary>Ship the portable Q/DQ graph beside the optimised one.</summary>
    public bool Portable { get; init; } = true;

    /// <summary>Ship ONNX Runtime's optimised graph with prepacked weights.</summary>
    public bool Prepacked { get; init; } = true;

    /// <summary>Where a denoiser is cut to cache its deep features between steps (<see cref="Caching.CacheCut.Parse"/>); null: not at all.</summary>
    public string? Cache { get; init; }

    /// <summary>Cache=auto: what the loop shall be faster by when every third step is full, in (1, 3); null: by <see cref="CacheQuality"/>, or 2.</summary>
    public double? CacheSpeedup { get; init; }

    /// <summary>Cache=auto: how much error cached features may make that are one step old, relative; null: by <see cref="CacheSpeedup"/>.</summary>
    public double? CacheQuality { get; init; }

    /// <summary>Samples that schedules of full steps are searched on, as far as the calibration data has so many; 0: none is searched.</summary>
    public int ScheduleRows { get; init; } = 16;

    /// <summary>What does not depend on the values of the sample is computed apart, once a prompt or timestep.</summary>
    public bool Hoist { get; init; }

    /// <summary>Null where tensorrt is not among <see cref="Targets"/>.</summary>
    public TensorRtOptions? TensorRt { get; init; }

    /// <summary>Decibels; null: no gate.</summary>
    public double? MinSqnr { get; init; }

    public double? MinCosine { get; init; }

    /// <summary>Megabytes (10⁶ bytes) that the engine may have; null: no gate.</summary>
    public double? MaxSize { get; init; }

    /// <summary>Times as fast as the float model that the engine must be on the machine that builds it; null: not measured.</summary>
    public double? MinSpeedup { get; init; }

    /// <summary>What a missed gate does: error, warn, or fallback, which ships the float model in the engine's place.</summary>
    public string OnGateFailure { get; init; } = "error";

    /// <summary>What an engine of TensorRT does that cannot be built: error, or fallback, which ships the other targets without it; that where Targets=auto has chosen tensorrt.</summary>
    public string OnEngineFailure { get; init; } = "error";
}
