using QuantSdk.Runtime;

namespace QuantSdk.Engines.TensorRt;

/// <summary>Finds trtexec. Relative paths are never followed: what lies in a project or in the working folder is not run.</summary>
internal static class TrtExecLocator
{
    public static string FileName => OperatingSystem.IsWindows() ? "trtexec.exe" : "trtexec";

    /// <returns>An absolute path, and how it was found.</returns>
    /// <exception cref="QuantSdkException">QSDK4020: there is none. QSDK4021: the setting names none.</exception>
    public static (string Path, string Origin) Locate(TrtExecSettings settings, TrtExecPlaces places)
    {
        if (settings.Path?.Trim() is { Length: > 0 } setting)
            return (Named(setting, "QuantSdkTrtExecPath"), "QuantSdkTrtExecPath");
        if (places.Variable?.Trim() is { Length: > 0 } variable)
            return (Named(variable, TrtExecPlaces.VariableName), TrtExecPlaces.VariableName);
        foreach (var folder in places.SearchPath.Where(Path.IsPathFullyQualified))
        {
            if (In(folder) is { } found)
                return (found, "PATH");
        }
        foreach (var folder in places.Installations.Where(Path.IsPathFullyQualified))
        {
            if (In(folder) is { } found)
                return (found, folder);
        }
        throw new QuantSdkException("QSDK4020",
            $"The target 'tensorrt' needs trtexec, and there is none: QuantSdkTrtExecPath and {TrtExecPlaces.VariableName} are not set, and neither a folder of PATH nor any of {string.Join(", ", places.Installations.Where(Path.IsPathFullyQualified))} has it. " +
            "Install TensorRT (pip's packages have no trtexec) and name the program in QuantSdkTrtExecPath, or set Targets to 'auto' or 'tensorrt-onnx'.");
    }

    /// <summary>The program itself, or a folder that holds it or has it in bin.</summary>
    private static string Named(string value, string origin)
    {
        if (!Path.IsPathFullyQualified(value))
            throw new QuantSdkException("QSDK4021", $"{origin}='{value}' is not an absolute path. trtexec is only run from an absolute path, never from a project or the working folder.");
        var full = Path.GetFullPath(value);
        if (Directory.Exists(full))
            return In(full) ?? In(Path.Combine(full, "bin")) ?? throw new QuantSdkException("QSDK4021", $"{origin}='{value}' is a folder that has no {FileName} which may be run, nor has its bin. Name the program.", full);
        if (!File.Exists(full))
            throw new QuantSdkException("QSDK4021", $"{origin}='{value}' does not exist. Correct it, or leave it out to have trtexec looked for.", full);
        return IsProgram(full) ? full : throw new QuantSdkException("QSDK4021", $"{origin}='{value}' is a file that may not be run. Give it the permission (chmod +x), or name another.", full);
    }

    private static string? In(string folder)
    {
        var path = Path.GetFullPath(Path.Combine(folder, FileName));
        return IsProgram(path) ? path : null;
    }

    private static bool IsProgram(string path)
    {
        try
        {
            const UnixFileMode run = UnixFileMode.UserExecute | UnixFileMode.GroupExecute | UnixFileMode.OtherExecute;
            return File.Exists(path) && (OperatingSystem.IsWindows() || (File.GetUnixFileMode(path) & run) != 0);
        }
        catch (Exception e) when (FileSystemError.Is(e))
        {
            return false;
        }
    }
}
