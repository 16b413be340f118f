namespace QuantSdk.Runtime;

/// <summary>What a machine has that plans need. Each question is asked only where the ones before it were answered well.</summary>
internal interface ITensorRtPlatform
{
    /// <summary>The version of the TensorRT library that ONNX Runtime's provider works with.</summary>
    /// <param name="refusal">Why there is none.</param>
    Version? Library(out string refusal);

    /// <summary>A GPU.</summary>
    /// <param name="refusal">Why there is none.</param>
    GpuDevice? Device(int index, out string refusal);

    /// <summary>Why ONNX Runtime's provider cannot be used, or null.</summary>
    string? ProviderRefusal();
}
