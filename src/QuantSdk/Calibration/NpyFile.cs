using System.Buffers.Binary;
using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;
using QuantSdk.Onnx;
using QuantSdk.Runtime;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Calibration;

/// <summary>Reads the .npy format, versions 1 to 3 (numpy.lib.format). Object arrays are refused: they are pickles, and pickles are programs.</summary>
internal static partial class NpyFile
{
    private const int MaxHeader = 1 << 20;

    /// <exception cref="QuantSdkException">QSDK1011 where the stream is no .npy array, QSDK1012 where its dtype is not one that models take.</exception>
    public static NpyArray Read(Stream stream, long length, string file, string source)
    {
        var prefix = new byte[12];
        if (stream.ReadAtLeast(prefix.AsSpan(0, 10), 10, throwOnEndOfStream: false) < 10 || prefix[0] != 0x93 || !prefix.AsSpan(1, 5).SequenceEqual("NUMPY"u8))
            throw Bad(file, source, "it does not begin as a .npy array");
        var major = prefix[6];
        int headerStart = 10, headerLength = BinaryPrimitives.ReadUInt16LittleEndian(prefix.AsSpan(8));
        if (major is 2 or 3)
        {
            stream.ReadExactly(prefix.AsSpan(10, 2));
            headerStart = 12;
            headerLength = BinaryPrimitives.ReadInt32LittleEndian(prefix.AsSpan(8));
        }
        else if (major != 1)
            throw Bad(file, source, $"its format version {major} is unknown");
        if (headerLength is < 10 or > MaxHeader)
            throw Bad(file, source, $"its header claims {headerLength} bytes");
        var header = new byte[headerLength];
        if (stream.ReadAtLeast(header, headerLength, throwOnEndOfStream: false) < headerLength)
            throw Bad(file, source, "it ends inside its header");
        var text = Encoding.UTF8.GetString(header);
        var match = HeaderRegex().Match(text);
        if (!match.Success)
            throw Bad(file, source, "its header is not understood");
        var type = Type(match.Groups["descr"].Value, file, source);
        if (match.Groups["order"].Value == "True")
            throw Bad(file, source, "it is stored in Fortran order; save numpy.ascontiguousarray(x)");
        long[] shape;
        try
        {
            shape = [.. match.Groups["shape"].Value.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries).Select(d => long.Parse(d, NumberStyles.None, CultureInfo.InvariantCulture))];
        }
        catch (Exception e) when (e is FormatException or OverflowException)
        {
            throw Bad(file, source, $"its shape ({match.Groups["shape"].Value}) is not understood");
        }
        // The size claimed is compared with the size there before anything is allocated.
        var elements = shape.Aggregate((UInt128)1, (a, b) => a * (UInt128)b);
        var bytes = elements * (UInt128)ElementType.Bytes((int)type, 1);
        if (bytes != (UInt128)Math.Max(0, length - headerStart - headerLength))
            throw Bad(file, source, $"shape ({string.Join(", ", shape)}) needs {bytes} bytes of data, the file holds {length - headerStart - headerLength}");
        if (bytes > int.MaxValue)
            throw Bad(file, source, "it is larger than 2 GiB; split it into several files");
        var data = new byte[(int)bytes];
        if (stream.ReadAtLeast(data, data.Length, throwOnEndOfStream: false) < data.Length)
            throw Bad(file, source, "it ends inside its data");
        return new NpyArray(type, shape, data, source);
    }

    private static DataType Type(string descr, string file, string source) => descr switch
    {
        "<f4" => DataType.Float,
        "<f2" => DataType.Float16,
        "<f8" => DataType.Double,
        "<i8" => DataType.Int64,
        "<i4" => DataType.Int32,
        "<i2" => DataType.Int16,
        "|i1" => DataType.Int8,
        "|u1" => DataType.Uint8,
        "<u2" => DataType.Uint16,
        "<u4" => DataType.Uint32,
        "<u8" => DataType.Uint64,
        "|b1" => DataType.Bool,
        _ => throw new QuantSdkException("QSDK1012", $"{source} has dtype '{descr}'. Save it as float32, float16, float64, a little-endian integer or bool.", file),
    };

    internal static QuantSdkException Bad(string file, string source, string why, Exception? inner = null) =>
        new("QSDK1011", $"{source} cannot be read: {why}.", file, inner: inner);

    // Object arrays print their dtype as '|O', structured ones as a list: neither is a type above.
    [GeneratedRegex(@"\{\s*'descr':\s*'(?<descr>[^']+)',\s*'fortran_order':\s*(?<order>True|False),\s*'shape':\s*\((?<shape>[0-9, ]*)\),?\s*\}")]
    private static partial Regex HeaderRegex();
}
