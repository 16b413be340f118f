using System.Globalization;
using System.IO.Compression;
using System.Runtime.InteropServices;

namespace QuantSdk.Tests.Calibration;

/// <summary>Writes .npy and .npz as the format's description says, for inputs that NumPy itself would have to be run for.</summary>
internal static class NpyWriter
{
    public static byte[] Npy<T>(string descr, long[] shape, T[] values, bool fortran = false)
        where T : unmanaged
    {
        var dims = string.Join(", ", shape.Select(d => d.ToString(CultureInfo.InvariantCulture))) + (shape.Length == 1 ? "," : "");
        var header = $"{{'descr': '{descr}', 'fortran_order': {(fortran ? "True" : "False")}, 'shape': ({dims}), }}";
        header = header.PadRight(128 - 10 - 1) + "\n";
        return [0x93, .. "NUMPY"u8, 1, 0, (byte)header.Length, (byte)(header.Length >> 8), .. System.Text.Encoding.ASCII.GetBytes(header), .. MemoryMarshal.AsBytes(values.AsSpan())];
    }

    public static string Npz(TempFolder folder, params (string Key, byte[] Npy)[] arrays)
    {
        var path = folder[$"{Guid.NewGuid():N}.npz"];
        using var zip = ZipFile.Open(path, ZipArchiveMode.Create);
        foreach (var (key, npy) in arrays)
        {
            using var entry = zip.CreateEntry(key + ".npy").Open();
            entry.Write(npy);
        }
        return path;
    }
}
