namespace QuantSdk.Runtime.Tests;

/// <summary>A machine with, or without, what plans need.</summary>
internal sealed record FakeTensorRt(string? Library = "10.13.3", string? Gpu = "NVIDIA H100 80GB HBM3", string? ComputeCapability = "9.0", string? Provider = null) : ITensorRtPlatform
{
    /// <summary>What was asked.</summary>
    public List<string> Asked { get; } = [];

    Version? ITensorRtPlatform.Library(out string refusal)
    {
        Asked.Add("library");
        refusal = "no libnvinfer.so.10";
        return Library is null ? null : Version.Parse(Library);
    }

    GpuDevice? ITensorRtPlatform.Device(int index, out string refusal)
    {
        Asked.Add($"device {index}");
        refusal = "no driver";
        return Gpu is null ? null : new GpuDevice(Gpu, Version.Parse(ComputeCapability!));
    }

    string? ITensorRtPlatform.ProviderRefusal()
    {
        Asked.Add("provider");
        return Provider;
    }
}
