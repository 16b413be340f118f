using System.Buffers.Binary;
using System.Buffers;
using System.Text.Encodings.Web;
using System.Text.Json;
using QuantSdk.Runtime;

namespace QuantSdk.Interchange;

/// <summary>
/// The .safetensors format: the header's length (8 bytes, little-endian), the header (JSON: name → dtype, shape and data_offsets, begin
/// and end within what follows), the data. Nothing in a file is believed before it is checked: the header's size, that every tensor is as long as
/// its shape says, and that the tensors cover the data without overlap and without holes.
/// </summary>
internal static class SafetensorsFile
{
    /// <summary>Bytes that a header may have, as in the reference implementation.</summary>
    private const long MaxHeader = 100_000_000;

    private const string Metadata = "__metadata__";

    private static readonly Dictionary<string, int> s_bytes = new(StringComparer.Ordinal)
    {
        ["F64"] = 8, ["I64"] = 8, ["U64"] = 8,
        ["F32"] = 4, ["I32"] = 4, ["U32"] = 4,
        ["F16"] = 2, ["BF16"] = 2, ["I16"] = 2, ["U16"] = 2,
        ["F8_E4M3"] = 1, ["F8_E5M2"] = 1, ["I8"] = 1, ["U8"] = 1, ["BOOL"] = 1,
    };

    /// <summary>Every tensor, in the order of the data.</summary>
    /// <param name="file">Path, for messages.</param>
    /// <exception cref="QuantSdkException">QSDK1040 where the stream is no whole .safetensors file, QSDK1012 for a dtype of another version.</exception>
    public static IReadOnlyList<SafetensorsTensor> Read(Stream stream, string file)
    {
        var start = new byte[8];
        if (stream.ReadAtLeast(start, 8, throwOnEndOfStream: false) < 8)
            throw Bad(file, "it has no header");
        var length = BinaryPrimitives.ReadUInt64LittleEndian(start);
        if (length is < 2 or > MaxHeader || (long)length > stream.Length - 8)
            throw Bad(file, $"its header claims {length} bytes, the file has {stream.Length}");
        var header = new byte[length];
        stream.ReadExactly(header);
        var tensors = Header(header, stream.Length - 8 - (long)length, file);
        var read = new List<SafetensorsTensor>(tensors.Count);
        foreach (var (name, dtype, shape, begin, end) in tensors)
        {
            if (end - begin > Array.MaxLength)
                throw Bad(file, $"'{name}' is larger than 2 GiB; split it into several files");
            var data = new byte[end - begin];
            stream.ReadExactly(data);
            read.Add(new SafetensorsTensor(name, dtype, shape, data));
        }
        return read;
    }

    /// <summary>
    /// Writes the tensors, those with the largest elements first so that all are aligned, the header filled up to a multiple of 8 bytes:
    /// equal tensors give equal bytes, whatever their order.
    /// </summary>
    /// <param name="metadata">Text for the header's __metadata__.</param>
    public static void Write(Stream stream, IEnumerable<SafetensorsTensor> tensors, IReadOnlyDictionary<string, string> metadata)
    {
        var ordered = tensors.OrderByDescending(t => s_bytes[t.Dtype]).ThenBy(t => t.Dtype, StringComparer.Ordinal).ThenBy(t => t.Name, StringComparer.Ordinal).ToArray();
        var buffer = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(buffer, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            json.WriteStartObject();
            json.WriteStartObject(Metadata);
            foreach (var (key, value) in metadata.OrderBy(m => m.Key, StringComparer.Ordinal))
                json.WriteString(key, value);
            json.WriteEndObject();
            var offset = 0L;
            foreach (var tensor in ordered)
            {
                json.WriteStartObject(tensor.Name);
                json.WriteString("dtype", tensor.Dtype);
                json.WriteStartArray("shape");
                foreach (var dim in tensor.Shape)
                    json.WriteNumberValue(dim);
                json.WriteEndArray();
                json.WriteStartArray("data_offsets");
                json.WriteNumberValue(offset);
                json.WriteNumberValue(offset += tensor.Data.Length);
                json.WriteEndArray();
                json.WriteEndObject();
            }
            json.WriteEndObject();
        }
        var padding = (8 - buffer.WrittenCount % 8) % 8;
        Span<byte> start = stackalloc byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(start, buffer.WrittenCount + padding);
        stream.Write(start);
        stream.Write(buffer.WrittenSpan);
        stream.Write("       "u8[..padding]);
        foreach (var tensor in ordered)
            stream.Write(tensor.Data.Span);
    }

    private static List<(string Name, string Dtype, long[] Shape, long Begin, long End)> Header(ReadOnlyMemory<byte> header, long dataBytes, string file)
    {
        var tensors = new List<(string, string, long[], long Begin, long End)>();
        try
        {
            // A header begins with its brace, so that no other file passes for one.
            if (header.Span[0] != (byte)'{')
                throw Bad(file, "its header is no JSON object");
            using var json = JsonDocument.Parse(header, new JsonDocumentOptions { MaxDepth = 8 });
            var names = new HashSet<string>(StringComparer.Ordinal);
            foreach (var property in json.RootElement.EnumerateObject())
            {
                if (!names.Add(property.Name))
                    throw Bad(file, $"it holds '{property.Name}' twice");
                if (property.Name != Metadata)
                    tensors.Add(Entry(property, file));
            }
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or KeyNotFoundException or FormatException)
        {
            throw Bad(file, $"its header is not understood ({e.Message.TrimEnd('.')})", e);
        }
        tensors.Sort((a, b) => (a.Begin, a.End).CompareTo((b.Begin, b.End)));
        var covered = 0L;
        foreach (var (name, _, _, begin, end) in tensors)
        {
            if (begin != covered)
                throw Bad(file, $"'{name}' begins at byte {begin} of the data where byte {covered} comes next; tensors may neither overlap nor leave holes");
            covered = end;
        }
        return covered == dataBytes ? tensors : throw Bad(file, $"its tensors need {covered} bytes of data, it holds {dataBytes}");
    }

    private static (string, string, long[], long, long) Entry(JsonProperty property, string file)
    {
        var entry = property.Value;
        var dtype = entry.GetProperty("dtype").GetString() ?? "null";
        if (!s_bytes.TryGetValue(dtype, out var bytes))
            throw new QuantSdkException("QSDK1012", $"'{property.Name}' in '{file}' has dtype '{dtype}'. Read are {string.Join(", ", s_bytes.Keys)}.", file);
        long[] shape = [.. entry.GetProperty("shape").EnumerateArray().Select(d => d.GetInt64())];
        long[] offsets = [.. entry.GetProperty("data_offsets").EnumerateArray().Select(d => d.GetInt64())];
        if (offsets is not [>= 0 and var begin, var end] || end < begin || shape.Any(d => d < 0))
            throw Bad(file, $"shape or offsets of '{property.Name}' are not understood");
        // A product that no file can have is not multiplied further, so that it cannot overflow into one that fits.
        UInt128 size = (UInt128)bytes;
        foreach (var dim in shape)
            size = size == 0 || dim == 0 ? 0 : size > ulong.MaxValue ? size : size * (UInt128)dim;
        return size == (UInt128)(end - begin) ? (property.Name, dtype, shape, begin, end)
            : throw Bad(file, $"'{property.Name}' of {dtype}[{string.Join(", ", shape)}] takes {size} bytes, its offsets give {end - begin}");
    }

    private static QuantSdkException Bad(string file, string why, Exception? inner = null) => new("QSDK1040", $"'{file}' is not a whole .safetensors file: {why}.", file, inner: inner);
}
