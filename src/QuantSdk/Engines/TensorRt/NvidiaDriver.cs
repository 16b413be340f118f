using QuantSdk.Runtime;

namespace QuantSdk.Engines.TensorRt;

/// <summary>Whether this machine has a driver for NVIDIA GPUs, by the files that one leaves: nothing is loaded and no GPU woken.</summary>
internal static class NvidiaDriver
{
    public const string Variable = "QUANTSDK_NVIDIA_DRIVER";

    /// <summary>Device files of the Linux driver, of WSL and of Jetson; the driver's library on Windows.</summary>
    private static readonly string[] s_linux = ["/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg", "/dev/nvmap"];

    /// <exception cref="QuantSdkException">QSDK4024: the setting is not one of auto, present and absent.</exception>
    public static bool IsPresent(TrtExecSettings settings) => Setting(settings) switch
    {
        "present" => true,
        "absent" => false,
        _ => OperatingSystem.IsWindows() ? File.Exists(Path.Combine(Environment.SystemDirectory, "nvcuda.dll")) : OperatingSystem.IsLinux() && s_linux.Any(File.Exists),
    };

    /// <exception cref="QuantSdkException">QSDK4023: there is none.</exception>
    public static void Require(TrtExecSettings settings)
    {
        if (!IsPresent(settings))
            throw new QuantSdkException("QSDK4023",
                $"The target 'tensorrt' needs an NVIDIA GPU, and this machine has no driver for one ({(Setting(settings) == "absent" ? "by QuantSdkNvidiaDriver" : OperatingSystem.IsWindows() ? "nvcuda.dll is not in the system's folder" : $"none of {string.Join(", ", s_linux)} exists")}). " +
                "Build on a machine with a GPU, or set Targets to 'auto', which takes cpu where there is none, or to 'tensorrt-onnx', which needs none.");
    }

    /// <summary>The driver's version, such as 550.54.15, or null where the system does not tell it.</summary>
    public static string? Version()
    {
        try
        {
            return OperatingSystem.IsLinux() && File.ReadAllText("/sys/module/nvidia/version").Trim() is { Length: > 0 } text ? text : null;
        }
        catch (Exception e) when (FileSystemError.Is(e))
        {
            return null;
        }
    }

    private static string Setting(TrtExecSettings settings)
    {
        var value = settings.Driver is { Length: > 0 } given ? given : Environment.GetEnvironmentVariable(Variable) is { Length: > 0 } set ? set : "auto";
        return value.Trim().ToLowerInvariant() is "auto" or "present" or "absent"
            ? value.Trim().ToLowerInvariant()
            : throw new QuantSdkException("QSDK4024", $"QuantSdkNvidiaDriver='{value}' is not allowed. Allowed: auto, present, absent.");
    }
}
