using System.Buffers.Binary;
using System.IO.Compression;
using System.Text;

namespace Digits;

/// <summary>Writes grey pictures as PNG (RFC 2083): signature, IHDR, one zlib stream, IEND.</summary>
internal static class PngFile
{
    private static readonly uint[] CrcTable = [.. Enumerable.Range(0, 256).Select(n =>
    {
        var c = (uint)n;
        for (var k = 0; k < 8; k++)
            c = (c & 1) != 0 ? 0xEDB88320 ^ (c >> 1) : c >> 1;
        return c;
    })];

    /// <summary>Square pictures of values in [−1, 1], side by side.</summary>
    public static void WriteGrid(string path, ReadOnlySpan<float> pictures, int columns, int size)
    {
        var rows = pictures.Length / (size * size * columns);
        using var pixels = new MemoryStream();
        using (var zlib = new ZLibStream(pixels, CompressionLevel.Optimal, leaveOpen: true))
        {
            for (var y = 0; y < rows * size; y++)
            {
                zlib.WriteByte(0); // no filter
                for (var x = 0; x < columns * size; x++)
                {
                    var picture = y / size * columns + x / size;
                    var value = pictures[(picture * size + y % size) * size + x % size];
                    zlib.WriteByte((byte)Math.Clamp(Math.Round((value + 1) * 127.5), 0, 255));
                }
            }
        }
        var header = new byte[13];
        BinaryPrimitives.WriteInt32BigEndian(header, columns * size);
        BinaryPrimitives.WriteInt32BigEndian(header.AsSpan(4), rows * size);
        header[8] = 8; // bits a sample; colour type 0 is grey
        using var file = File.Create(path);
        file.Write([0x89, (byte)'P', (byte)'N', (byte)'G', 0x0D, 0x0A, 0x1A, 0x0A]);
        Chunk(file, "IHDR", header);
        Chunk(file, "IDAT", pixels.ToArray());
        Chunk(file, "IEND", []);
    }

    private static void Chunk(Stream file, string type, byte[] data)
    {
        var number = new byte[4];
        byte[] body = [.. Encoding.ASCII.GetBytes(type), .. data];
        BinaryPrimitives.WriteInt32BigEndian(number, data.Length);
        file.Write(number);
        file.Write(body);
        var crc = 0xFFFFFFFF;
        foreach (var b in body)
            crc = CrcTable[(crc ^ b) & 0xFF] ^ (crc >> 8);
        BinaryPrimitives.WriteUInt32BigEndian(number, ~crc);
        file.Write(number);
    }
}
