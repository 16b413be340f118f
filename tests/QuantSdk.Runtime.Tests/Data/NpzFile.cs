using System.IO.Compression;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.RegularExpressions;

namespace QuantSdk.Runtime.Tests;

/// <summary>A small reader of NumPy archives: little-endian f4, i8 and u1 in C order.</summary>
internal sealed partial class NpzFile(string path)
{
    public ModelTensor this[string name]
    {
        get
        {
            using var archive = ZipFile.OpenRead(path);
            using var stream = archive.GetEntry(name + ".npy")!.Open();
            using var memory = new MemoryStream();
            stream.CopyTo(memory);
            var bytes = memory.ToArray();
            var headerEnd = 10 + BitConverter.ToUInt16(bytes, 8);
            var header = Encoding.ASCII.GetString(bytes, 10, headerEnd - 10);
            Assert.Contains("'fortran_order': False", header);
            long[] shape = [.. Shape().Match(header).Groups[1].Value.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries).Select(long.Parse)];
            var data = bytes.AsSpan(headerEnd);
            return Descr().Match(header).Groups[1].Value switch
            {
                "<f4" => ModelTensor.Create<float>(MemoryMarshal.Cast<byte, float>(data), shape),
                "<i8" => ModelTensor.Create<long>(MemoryMarshal.Cast<byte, long>(data), shape),
                "|u1" => ModelTensor.Create<byte>(data, shape),
                var other => throw new NotSupportedException(other),
            };
        }
    }

    [GeneratedRegex(@"'shape': \(([^)]*)\)")]
    private static partial Regex Shape();

    [GeneratedRegex(@"'descr': '([^']*)'")]
    private static partial Regex Descr();
}
