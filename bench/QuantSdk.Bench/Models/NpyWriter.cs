using System.Text;
using QuantSdk.Calibration;

namespace QuantSdk.Bench;

/// <summary>Float arrays as .npy files (format 1.0).</summary>
internal static class NpyWriter
{
    public static void Write(string path, NpyArray array)
    {
        var header = $"{{'descr': '<f4', 'fortran_order': False, 'shape': ({string.Join(", ", array.Shape)},), }}";
        // Magic, version and length take 10 bytes; the data starts at a multiple of 64.
        header = header.PadRight((header.Length + 10) / 64 * 64 + 53) + '\n';
        using var stream = File.Create(path);
        stream.Write([0x93, (byte)'N', (byte)'U', (byte)'M', (byte)'P', (byte)'Y', 1, 0, (byte)header.Length, (byte)(header.Length >> 8)]);
        stream.Write(Encoding.ASCII.GetBytes(header));
        stream.Write(array.Data.Span);
    }
}
