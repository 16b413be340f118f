using System.IO.Compression;
using System.Runtime.InteropServices;
using System.Text;

namespace QuantSdk.Build.Tests.BadInputs;

/// <summary>Writes what numpy.save and numpy.savez write.</summary>
internal static class NumPy
{
    public static byte[] Npy(string descr, string shape, ReadOnlySpan<byte> data)
    {
        var header = $"{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}";
        header = header.PadRight((10 + header.Length + 1 + 63) / 64 * 64 - 10 - 1) + "\n";
        return [0x93, .. "NUMPY"u8, 1, 0, (byte)header.Length, (byte)(header.Length >> 8), .. Encoding.ASCII.GetBytes(header), .. data];
    }

    public static byte[] Floats(string shape, int count, Func<int, float>? value = null) =>
        Npy("<f4", shape, MemoryMarshal.AsBytes<float>(Enumerable.Range(0, count).Select(i => value?.Invoke(i) ?? MathF.Sin(i)).ToArray()));

    public static byte[] Npz(params (string Key, byte[] Npy)[] arrays)
    {
        var stream = new MemoryStream();
        using (var zip = new ZipArchive(stream, ZipArchiveMode.Create, leaveOpen: true))
        {
            foreach (var (key, npy) in arrays)
            {
                using var entry = zip.CreateEntry(key + ".npy", CompressionLevel.NoCompression).Open();
                entry.Write(npy);
            }
        }
        return stream.ToArray();
    }
}
