using System.Buffers.Binary;
using System.IO.Compression;

namespace Digits;

/// <summary>Reads the uint8 arrays of this sample's test set.</summary>
internal static class NpzFile
{
    public static IReadOnlyDictionary<string, byte[]> Read(string path)
    {
        using var zip = ZipFile.OpenRead(path);
        return zip.Entries.ToDictionary(e => Path.GetFileNameWithoutExtension(e.Name), e =>
        {
            using var stream = e.Open();
            using var memory = new MemoryStream();
            stream.CopyTo(memory);
            var bytes = memory.ToArray();
            return bytes[(10 + BinaryPrimitives.ReadUInt16LittleEndian(bytes.AsSpan(8)))..];
        });
    }
}
