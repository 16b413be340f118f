namespace QuantSdk.Engines.TensorRt;

/// <summary>Where trtexec may be on a machine.</summary>
/// <param name="Variable">The environment variable QUANTSDK_TRTEXEC.</param>
/// <param name="SearchPath">The folders of PATH, as they are written there.</param>
/// <param name="Installations">Folders that packages and archives of TensorRT put it into.</param>
internal sealed record TrtExecPlaces(string? Variable, IReadOnlyList<string> SearchPath, IReadOnlyList<string> Installations)
{
    public const string VariableName = "QUANTSDK_TRTEXEC";

    public static TrtExecPlaces OfThisMachine() => new(
        Environment.GetEnvironmentVariable(VariableName), (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries), [.. CommonFolders()]);

    /// <summary>
    /// Debian and RPM packages: /usr/src/tensorrt/bin. NVIDIA's containers: /opt/tensorrt/bin and /usr/src. Archives are unpacked where the user
    /// likes, which TENSORRT_ROOT and its like name, or beside CUDA.
    /// </summary>
    private static IEnumerable<string> CommonFolders()
    {
        foreach (var variable in (string[])["TENSORRT_ROOT", "TENSORRT_HOME", "TRT_ROOT"])
        {
            if (Environment.GetEnvironmentVariable(variable) is { Length: > 0 } root)
                yield return Path.Combine(root, "bin");
        }
        if (OperatingSystem.IsWindows())
        {
            var programs = Environment.GetFolderPath(Environment.SpecialFolder.ProgramFiles);
            foreach (var parent in (string[])[Path.Combine(programs, "NVIDIA GPU Computing Toolkit"), Path.Combine(programs, "NVIDIA"), programs, @"C:\"])
            {
                foreach (var folder in Versions(parent))
                    yield return folder;
            }
            yield break;
        }
        foreach (var folder in (string[])["/usr/src/tensorrt/bin", "/opt/tensorrt/bin", "/usr/local/tensorrt/bin", "/usr/lib/tensorrt/bin", "/usr/local/cuda/bin"])
            yield return folder;
        foreach (var parent in (string[])["/opt", "/usr/local"])
        {
            foreach (var folder in Versions(parent))
                yield return folder;
        }
    }

    /// <summary>PARENT/TensorRT-10.13.3.9/bin, the newest first.</summary>
    private static IEnumerable<string> Versions(string parent)
    {
        try
        {
            return [.. Directory.GetDirectories(parent, "TensorRT-*").OrderByDescending(VersionIn).ThenBy(f => f, StringComparer.Ordinal).Select(f => Path.Combine(f, "bin"))];
        }
        catch (Exception e) when (FileSystemError.Is(e))
        {
            return [];
        }
    }

    private static TensorRtVersion VersionIn(string folder) => TensorRtVersion.Parse(Path.GetFileName(folder)["TensorRT-".Length..].Split('-')[0]) ?? default;
}
