using System.Buffers.Binary;

namespace QuantSdk.Engines.TensorRt;

/// <summary>
/// What the first bytes of a plan say: `ftrt` (bytes 0 to 3), the version of the serialisation (u32 at 4), and TensorRT's major, minor, patch and
/// build in bytes 24 to 27, each a byte. Plans of version-compatible engines begin alike.
/// </summary>
internal static class PlanFile
{
    public const int HeaderBytes = 28;

    private const uint Tag = 0x74727466;

    /// <summary>The version, or null where these bytes begin no plan.</summary>
    public static TensorRtVersion? Version(ReadOnlySpan<byte> header) =>
        header.Length >= HeaderBytes && BinaryPrimitives.ReadUInt32LittleEndian(header) == Tag ? new(header[24], header[25], header[26], header[27]) : null;

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
