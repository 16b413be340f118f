using System.Buffers.Binary;

namespace QuantSdk.Runtime;

/// <summary>What the first bytes of a TensorRT plan say, without TensorRT (trtexec's printPlanVersion, sampleEngines.cpp): the tag "ftrt" and, in bytes 24 to 27, the version that built it.</summary>
internal static class PlanHeader
{
    public const int Bytes = 28;

    private const uint Tag = 0x74727466;

    /// <summary>The version of TensorRT that built a plan: major, minor, patch, build.</summary>
    /// <exception cref="QuantSdkException">QSDK7060: the file is no plan, or is cut off.</exception>
    public static Version Read(string path)
    {
        Span<byte> header = stackalloc byte[Bytes];
        using var stream = File.OpenRead(path);
        var read = stream.ReadAtLeast(header, Bytes, throwOnEndOfStream: false);
        if (read < Bytes)
            throw NoPlan(path, $"it has {read} bytes, and the header alone takes {Bytes}");
        var tag = BinaryPrimitives.ReadUInt32LittleEndian(header);
        if (tag != Tag)
            throw NoPlan(path, $"it begins with {tag:x8}, a plan with {Tag:x8}");
        return Of(header)!;
    }

    /// <summary>The version, or null where these bytes begin no plan.</summary>
    public static Version? Of(ReadOnlySpan<byte> header) =>
        header.Length >= Bytes && BinaryPrimitives.ReadUInt32LittleEndian(header) == Tag ? new Version(header[24], header[25], header[26], header[27]) : null;

    private static QuantSdkException NoPlan(string path, string reason) => new("QSDK7060", $"'{path}' is no TensorRT plan: {reason}. Build the model again, or copy the whole folder.", path);
}
