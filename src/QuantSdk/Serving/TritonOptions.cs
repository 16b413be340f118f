namespace QuantSdk.Serving;

/// <summary>What a model repository shall be.</summary>
internal sealed record TritonOptions
{
    /// <summary>The variant that is served: <c>tensorrt</c>, <c>tensorrt-onnx</c>, <c>cuda</c>, <c>cpu</c>; null: the first of these that the model has.</summary>
    public string? Variant { get; init; }

    /// <summary>The number of the version folder, from 1.</summary>
    public int ModelVersion { get; init; } = 1;

    /// <summary>The most rows that requests are joined to; null: what the plan's profiles allow, else <see cref="DefaultBatch"/>, where the first dimension of everything is the batch, else 0. 0: no joining.</summary>
    public int? MaxBatchSize { get; init; }

    /// <summary>Microseconds that a request waits for others to be joined with.</summary>
    public int QueueDelay { get; init; }

    /// <summary>Instances of each model on each GPU.</summary>
    public int Instances { get; init; } = 1;

    /// <summary>The GPUs that serve; empty: all.</summary>
    public IReadOnlyList<int> Gpus { get; init; } = [];

    /// <summary>For models that take any number of rows.</summary>
    public const int DefaultBatch = 8;
}
