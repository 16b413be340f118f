using System.CommandLine;
using QuantSdk.Engines;
using QuantSdk.Recipes;

namespace QuantSdk.Tool.Commands;

/// <summary>A model on the command line with metadata as options: `--guidance-scale` is GuidanceScale, for every metadata the recipe reads.</summary>
internal sealed class ModelOptions
{
    /// <summary>Where data comes from and how a denoiser is run.</summary>
    public static IReadOnlyList<string> DataNames { get; } =
        ["CalibrationData", "Scheduler", "Steps", "GuidanceScale", "Seed", "ConditionedBy", "SampleInput", "TimestepInput", "TimestepScale"];

    /// <summary>Everything that decides what calibrating gives.</summary>
    public static IReadOnlyList<string> CalibrationNames { get; } = [.. DataNames, "Calibrator", "Percentile", "Momentum", "Timesteps", "Collect", "CalibrationBatch", "ExcludeModules", "Only"];

    private static readonly string[] Lists = ["CalibrationData", "ValidationData", "ExcludeModules", "Only", "Targets", "Plugins", "TrtExecArguments"];

    private readonly Argument<string> _model;
    private readonly IReadOnlyList<(string Name, Option Option)> _metadata;
    private readonly Option<int> _threads = new("--threads") { Description = "Threads to compute with; all cores by default.", HelpName = "N", DefaultValueFactory = _ => Environment.ProcessorCount };

    /// <param name="argument">Name of the argument.</param>
    /// <param name="names">The metadata that the command reads.</param>
    public ModelOptions(Command command, string argument, IEnumerable<string> names)
    {
        _model = new Argument<string>(argument) { Description = "The float model, an .onnx file." };
        _metadata = [.. names.Select(n => (n, Create(n)))];
        command.Add(_model);
        foreach (var (_, option) in _metadata)
            command.Add(option);
        _threads.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<int>() < 1)
                result.AddError("--threads takes a number from 1.");
        });
        command.Add(_threads);
    }

    public string Model(ParseResult parse) => Path.GetFullPath(parse.GetRequiredValue(_model));

    public int Threads(ParseResult parse) => parse.GetValue(_threads);

    /// <summary>The metadata that were given. Names of models are those of their files.</summary>
    public Dictionary<string, string> Metadata(ParseResult parse)
    {
        var values = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var (name, option) in _metadata)
        {
            if (Given(parse, option) is { } value)
                values[name] = name == "ConditionedBy" ? Path.GetFileNameWithoutExtension(value) : value;
        }
        return values;
    }

    /// <summary>The request that a build with these metadata would send.</summary>
    public BuildRequest Request(ParseResult parse, string output, string? report = null)
    {
        var metadata = Metadata(parse);
        var model = Model(parse);
        var conditionedBy = _metadata.FirstOrDefault(m => m.Name == "ConditionedBy").Option is { } option && Given(parse, option) is { } path ? Path.GetFullPath(path) : null;
        return new BuildRequest(
            metadata.GetValueOrDefault("Name") ?? Path.GetFileNameWithoutExtension(model), model, Environment.CurrentDirectory, Path.GetFullPath(output),
            report is null ? null : Path.GetFullPath(report), Threads(parse), metadata, conditionedBy);
    }

    private static string? Given(ParseResult parse, Option option) => option switch
    {
        Option<string[]> list => parse.GetValue(list) is { Length: > 0 } values ? string.Join(';', values) : null,
        Option<string> one => parse.GetValue(one),
        _ => null,
    };

    private static Option Create(string name)
    {
        var (help, value) = Describe(name);
        string option = "--" + string.Concat(name.Select((c, i) => char.IsUpper(c) ? (i == 0 ? "" : "-") + char.ToLowerInvariant(c) : c.ToString()));
        string[] aliases = name == "CalibrationData" ? ["--data"] : [];
        return Lists.Contains(name)
            ? new Option<string[]>(option, aliases) { Description = help, HelpName = value, AllowMultipleArgumentsPerToken = true }
            : new Option<string>(option, aliases) { Description = help, HelpName = value };
    }

    private static (string Help, string Value) Describe(string name)
    {
        var defaults = new Recipe { Name = "" };
        return name switch
        {
            "Name" => ("Name of the engine; the model's file name by default.", "NAME"),
            "Precision" => ($"{string.Join(", ", Formats.OfPrecision)}; none ships the model in float, auto chooses for each layer by --min-sqnr or --max-size. Default: {defaults.Precision}.", "PRECISION"),
            "Weights" => ($"Format of the weights: {string.Join(", ", Formats.OfWeights)}. Default: by precision.", "FORMAT"),
            "Activations" => ($"Format of what they are multiplied with: {string.Join(", ", Formats.OfActivations)}. Default: by precision.", "FORMAT"),
            "BlockSize" => ("Weights of a linear layer that share a scale; 0: all of an output channel. Default: by format.", "N"),
            "WeightZeroPoint" => ("true gives int4 and int2 weights a zero point for each scale.", "true|false"),
            "Rounding" => ($"auto, nearest or error: the rounding with the least error of the layer's output. Default: {defaults.Rounding}.", "NAME"),
            "SmoothQuant" => ($"off, auto (searched for each layer) or one strength from 0 to 1. Default: {defaults.SmoothQuant}.", "ALPHA"),
            "ConcatSplit" => ("false leaves convolutions behind a Concat with one scale for all branches.", "true|false"),
            "BiasCorrection" => ("false leaves biases as they are.", "true|false"),
            "Level" => ($"1 convolutions, 2 + feed-forward, 2.5 + Q, K, V, 3 + every linear layer, 4 + attention products. Default: {defaults.Level}.", "LEVEL"),
            "OptimizeFor" => ($"speed: layers that do not pay stay in float; size: they do not. Default: {defaults.OptimizeFor}.", "GOAL"),
            "Costs" => ("A NAME.costs.json measured on the machine that will run the engine.", "FILE"),
            "MaxSize" => ("Fail above this size of the engine, in megabytes; what --precision auto aims at.", "X"),
            "CalibrationData" => (".npz, .npy or .safetensors files; keys are input names (negative.NAME: the unconditional rows), axis 0 counts rows. `random` tries without data; a .cache of TensorRT gives ranges in place of data.", "FILE"),
            "ValidationData" => ("Files with rows to judge on; by default a tenth of the calibration data is held out.", "FILE"),
            "Scheduler" => ("A diffusers scheduler_config.json: calibrates by sampling, every step observed.", "FILE"),
            "Steps" => ($"Steps of the sampler. Default: {defaults.Steps}.", "N"),
            "GuidanceScale" => ($"Classifier-free guidance while sampling; 1 is none. Default: {defaults.GuidanceScale}.", "X"),
            "Seed" => ($"Seed of the first sample's noise. Default: {defaults.Seed}.", "N"),
            "ConditionedBy" => ("A float model whose outputs are conditioning inputs of this one; --data then holds its inputs.", "MODEL"),
            "SampleInput" => ("The input that takes the noisy sample; found by its shape by default.", "NAME"),
            "TimestepInput" => ("The input that takes the timestep; found by its name by default.", "NAME"),
            "TimestepScale" => ($"Factor on the sampler's timestep. Default: {defaults.TimestepScale}.", "X"),
            "Calibrator" => ($"{string.Join(", ", Calibration.RangeEstimator.Names)}. Default: {defaults.Calibrator}.", "NAME"),
            "Percentile" => ($"Of the percentile calibrator. Default: 99.99.", "X"),
            "Momentum" => ($"Of the ema calibrator: the share of the old range that each batch keeps. Default: {defaults.Momentum}.", "X"),
            "Timesteps" => ("Of the timestep calibrator: all, or a range LOW-HIGH of timestep values. Default: all.", "RANGE"),
            "Collect" => ($"Of the timestep calibrator: min-mean, min-max, mean-max or global-min. Default: {defaults.Collect}.", "NAME"),
            "CalibrationBatch" => ("Rows of a calibration batch, what ema and timestep average over. Default: a fixed size for these, what memory allows for others.", "N"),
            "ExcludeModules" => ("Module paths, node names or op types to leave in float; * matches anything, quote it.", "PATTERN"),
            "Only" => ("Quantise nothing but what matches.", "PATTERN"),
            "Targets" => ("cpu, tensorrt, tensorrt-onnx (the graph for trtexec, without an engine), auto. Default: auto, which is tensorrt and cpu where trtexec and a driver are found, else cpu.", "TARGET"),
            "HighPrecision" => ("fp16, bf16 or fp32: the type of whatever is not quantised for TensorRT. Default: fp16.", "TYPE"),
            "Shapes" => ("TensorRT: shapes of dynamic inputs, NAME:1x4x64x64,…; ';' separates profiles. Default: from the model and its data.", "SHAPES"),
            "MinShapes" => ("TensorRT: the least shapes.", "SHAPES"),
            "OptShapes" => ("TensorRT: the shapes that kernels are chosen for.", "SHAPES"),
            "MaxShapes" => ("TensorRT: the largest shapes.", "SHAPES"),
            "StronglyTyped" => ("TensorRT: false chooses types by --fp16 --int8, up to version 10. Default: true.", "true|false"),
            "BuilderOptimizationLevel" => ("TensorRT: 0 to 5, how long kernels are looked for.", "LEVEL"),
            "Workspace" => ("TensorRT: MiB that a kernel may use beside its tensors.", "MIB"),
            "HardwareCompatibility" => ("TensorRT: none, ampere+ or sameComputeCapability. Default: none.", "LEVEL"),
            "VersionCompatible" => ("TensorRT: true builds an engine that newer versions load too.", "true|false"),
            "StripWeights" => ("TensorRT: true leaves the weights out of the plan; they come from the graph beside it.", "true|false"),
            "Refit" => ("TensorRT: true lets weights be replaced.", "true|false"),
            "Sparsity" => ("TensorRT: disable, enable or force, which overwrites weights. Default: disable.", "MODE"),
            "ProfilingVerbosity" => ("TensorRT: layer_names_only, detailed or none. Default: layer_names_only.", "LEVEL"),
            "LayerInfo" => ("TensorRT: true writes the engine's layers beside the report.", "true|false"),
            "Plugins" => ("TensorRT: libraries with plugins.", "FILE"),
            "TrtExecArguments" => ("Further options of trtexec, each as --trt-exec-arguments=--NAME=VALUE.", "OPTION"),
            "GpuDevice" => ("TensorRT: the GPU that builds. Default: 0.", "N"),
            "CudaGraph" => ("TensorRT: true lets the runtime record the engine's kernels once a shape.", "true|false"),
            "OnEngineFailure" => ("error, or fallback, which ships the other targets where the engine of TensorRT cannot be built. Default: error; fallback where auto chose it.", "ACTION"),
            "MeasureEngine" => ("TensorRT: true lets trtexec run what it built, for the report.", "true|false"),
            "Portable" => ("false leaves out the portable graph.", "true|false"),
            "Prepacked" => ("false leaves out the graph with weights packed for this CPU.", "true|false"),
            "Cache" => ("Where a denoiser is cut, so that deep features are reused for some steps: PATTERN or live:PATTERN (modules that run at every step), cached:PATTERN, output:MODULE, tensor:NAME, blocks:I-J (transformer blocks), auto.", "CUT"),
            "CacheSpeedup" => ("Of --cache auto: how much faster the loop shall be with every third step full, from 1.01 to 2.99. Default: 2.", "X"),
            "CacheQuality" => ("Of --cache auto: the most that the output may be off by with features one step old, relative.", "X"),
            "ScheduleRows" => ($"Samples that schedules of full steps are searched on; 0 searches none. Default: {defaults.ScheduleRows}.", "N"),
            "Hoist" => ("true computes what does not depend on the noisy sample apart, once a prompt or timestep.", "true|false"),
            "MinSqnr" => ("Fail below this signal to noise ratio, in dB; what --precision auto aims at.", "X"),
            "MinCosine" => ("Fail below this cosine.", "X"),
            "MinSpeedup" => ("Fail where the engine is surely less than this many times as fast as the float model on this machine: both run in turns.", "X"),
            "OnGateFailure" => ($"error, warn, or fallback, which ships the float model. Default: {defaults.OnGateFailure}.", "ACTION"),
            _ => throw new InvalidOperationException($"the option of the metadata '{name}' has no description"),
        };
    }
}
