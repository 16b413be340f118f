using QuantSdk.Onnx;

namespace QuantSdk.Engines.TensorRt;

/// <summary>A plan that trtexec shall build.</summary>
internal sealed record PlanRequest
{
    /// <summary>What messages call it, and what the files in <see cref="TrtExecSettings.Layers"/> are called by: unet, or unet.live.</summary>
    public required string Name { get; init; }

    /// <summary>The Q/DQ model that trtexec reads; absolute.</summary>
    public required string Model { get; init; }

    /// <summary>The graph in <see cref="Model"/>: its inputs, and its nodes for messages that name one. Weights are not looked at.</summary>
    public required GraphProto Graph { get; init; }

    /// <summary>Where the plan goes; absolute. It is there whole or not at all.</summary>
    public required string Plan { get; init; }

    /// <summary>The user's model, which diagnostics are reported on; null: <see cref="Model"/>.</summary>
    public string? Source { get; init; }

    /// <summary>Dimensions of inputs in one row of the calibration data; axis 0 counts rows.</summary>
    public IReadOnlyDictionary<string, long[]> Observed { get; init; } = new Dictionary<string, long[]>(StringComparer.Ordinal);

    /// <summary>A step of the sampler runs two rows a sample.</summary>
    public bool Guided { get; init; }

    /// <summary>fp32, fp16 or bf16. Only read where the network is weakly typed: a strongly typed one says it itself.</summary>
    public string HighPrecision { get; init; } = "fp32";

    /// <summary>What relative plugins are relative to.</summary>
    public string ProjectDirectory { get; init; } = "";

    /// <summary>Folder of timing caches, which many builds share; null: none is kept.</summary>
    public string? TimingCaches { get; init; }

    /// <summary>Folder of the locks by which one trtexec runs at a time on a GPU; null: none.</summary>
    public string? Locks { get; init; }
}
