using QuantSdk.Runtime;

namespace QuantSdk.Engines.TensorRt;

/// <summary>A file that trtexec has written, told by what its first bytes say. Plans of version-compatible engines begin alike.</summary>
internal static class PlanFile
{
    public const int HeaderBytes = PlanHeader.Bytes;

    /// <summary>The version, or null where these bytes begin no plan.</summary>
    public static TensorRtVersion? Version(ReadOnlySpan<byte> header) =>
        PlanHeader.Of(header) is { } version ? new(version.Major, version.Minor, version.Build, version.Revision) : null;

    /// <summary>The size of a file and the version in its header; 0 where there is no file.</summary>
    public static (long Bytes, TensorRtVersion? Version) Read(string path)
    {
        if (!File.Exists(path))
            return (0, null);
        using var file = File.OpenRead(path);
        var header = new byte[HeaderBytes];
        return (file.Length, Version(header.AsSpan(0, file.ReadAtLeast(header, HeaderBytes, throwOnEndOfStream: false))));
    }
}
