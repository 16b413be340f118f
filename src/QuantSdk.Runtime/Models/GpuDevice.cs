namespace QuantSdk.Runtime;

/// <summary>A GPU as its driver describes it.</summary>
/// <param name="Name">Such as <c>NVIDIA H100 80GB HBM3</c>.</param>
/// <param name="ComputeCapability">Such as 9.0.</param>
internal sealed record GpuDevice(string Name, Version ComputeCapability);
