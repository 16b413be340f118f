using Microsoft.ML.OnnxRuntime;

namespace QuantSdk.Runtime;

/// <summary>How a model is opened.</summary>
internal sealed record SessionSettings
{
    /// <summary>Threads within one operator; 0 lets ONNX Runtime use the physical cores.</summary>
    public int Threads { get; init; }

    public GraphOptimizationLevel Optimisation { get; init; } = GraphOptimizationLevel.ORT_ENABLE_ALL;

    /// <summary>Graph optimisers that stay off, by name.</summary>
    public IReadOnlyList<string> DisabledOptimizers { get; init; } = [];

    /// <summary>Further configuration entries of the session, by ONNX Runtime's keys.</summary>
    public IReadOnlyDictionary<string, string> Entries { get; init; } = new Dictionary<string, string>();

    /// <summary>Where ONNX Runtime writes the optimised model, or null.</summary>
    public string? OptimisedModelPath { get; init; }

    /// <summary>The GPU that runs the model, or null for the CPU.</summary>
    public GpuProvider? Gpu { get; init; }

    public SessionOptions Create()
    {
        var options = new SessionOptions
        {
            GraphOptimizationLevel = Optimisation,
            IntraOpNumThreads = Threads,
            // Whatever goes wrong comes back as an exception; the library's own lines on stderr would only repeat it.
            LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL,
        };
        if (DisabledOptimizers.Count > 0)
            options.AddSessionConfigEntry("optimization.disable_specified_optimizers", string.Join(';', DisabledOptimizers));
        foreach (var (key, value) in Entries)
            options.AddSessionConfigEntry(key, value);
        if (OptimisedModelPath is not null)
            options.OptimizedModelFilePath = OptimisedModelPath;
        Gpu?.AppendTo(options);
        return options;
    }
}
