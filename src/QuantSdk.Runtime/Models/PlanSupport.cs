using System.Globalization;

namespace QuantSdk.Runtime;

/// <summary>Decides whether a plan runs on a machine: a pure function of what the manifest says and what the machine has.</summary>
internal static class PlanSupport
{
    private const string NoCompatibility = "none", AmpereOrNewer = "ampere+";

    /// <summary>Why the plan cannot run here, or null with what is worth knowing about it.</summary>
    public static string? Refusal(TensorRtInfo? info, ITensorRtPlatform platform, int device, out string note)
    {
        note = "";
        if (info is null)
            return "the manifest does not say what its plan was built for";
        if (!Version.TryParse(info.Version, out var built) || !Version.TryParse(info.ComputeCapability, out var capability))
            return $"the manifest has TensorRT '{info.Version}' and the compute capability '{info.ComputeCapability}'; numbers with dots between are expected";
        if (platform.Library(out var refusal) is not { } library)
            return refusal;
        if (VersionRefusal(Release(built), Release(library), info.VersionCompatible) is { } version)
            return version;
        if (platform.Device(device, out refusal) is not { } gpu)
            return refusal;
        if (DeviceRefusal(info, capability, gpu) is { } other)
            return other;
        if (platform.ProviderRefusal() is { } provider)
            return provider;
        note = $"plan of TensorRT {Release(built)} for compute capability {info.ComputeCapability}";
        if (info.HardwareCompatibility == NoCompatibility && info.Gpu != gpu.Name)
            note += $", built on {info.Gpu}: kernels were chosen for that GPU, this is {gpu.Name}";
        return null;
    }

    /// <summary>Equal up to the patch; a version-compatible plan also runs in newer ones of its major version.</summary>
    private static string? VersionRefusal(Version built, Version library, bool compatible)
    {
        if (built == library || compatible && built.Major == library.Major && built < library)
            return null;
        return $"its plan was built by TensorRT {built}, the library here is {library}. " +
            (compatible ? "A version-compatible plan runs in its own version and in newer ones of the same major version"
            : "The two must be equal: install that version, or build the model with this one's trtexec or with VersionCompatible=true");
    }

    private static string? DeviceRefusal(TensorRtInfo info, Version capability, GpuDevice gpu)
    {
        var runs = info.HardwareCompatibility == AmpereOrNewer ? gpu.ComputeCapability.Major >= 8 : gpu.ComputeCapability == capability;
        return runs ? null : string.Create(CultureInfo.InvariantCulture,
            $"its plan was built for {(info.HardwareCompatibility == AmpereOrNewer ? "compute capability 8.0 and newer" : $"compute capability {capability} ({info.Gpu})")}, this GPU is {gpu.Name} ({gpu.ComputeCapability}). Build the model on a GPU like this one{(info.HardwareCompatibility == AmpereOrNewer ? "" : ", or with HardwareCompatibility=ampere+")}");
    }

    private static Version Release(Version version) => new(version.Major, version.Minor, Math.Max(version.Build, 0));
}
