using System.Globalization;
using QuantSdk.Onnx;

namespace QuantSdk.Engines;

/// <summary>
/// Packed weights on addresses that their kernels can load. ONNX Runtime 1.29 writes them wherever the data before them ends, maps them from
/// there, and its AVX-512 products then fault: their loads want multiples of 64 bytes, which packing in memory always gives.
/// </summary>
internal static class PackedAlignment
{
    private const long Alignment = 64;

    /// <summary>Writes the data file anew where a packed weight lies askew, and corrects all that points into it.</summary>
    /// <param name="tensors">Every tensor of the model.</param>
    /// <param name="data">The data file beside the model.</param>
    /// <returns>True where something was moved.</returns>
    public static bool Restore(IReadOnlyList<TensorProto> tensors, string data)
    {
        var own = Path.GetFileName(data);
        var packed = tensors.SelectMany(t => t.ExternalData).Where(e => e.Key.StartsWith("prepacked", StringComparison.Ordinal)).Select(e => (Entry: e, Blobs: Blobs(e.Value))).ToArray();
        if (packed.All(p => p.Blobs.All(b => b.Offset % Alignment == 0)))
            return false;
        var plain = tensors.Where(t => t.ExternalData.Any(e => e.Key == "location" && e.Value == own)).ToArray();
        var moved = new Dictionary<(long, long), long>();
        var temporary = data + ".tmp";
        using (var source = File.OpenRead(data))
        using (var target = new FileStream(temporary, FileMode.CreateNew, FileAccess.Write, FileShare.None, 1 << 16))
        {
            foreach (var (offset, length) in plain.Select(t => (Value(t, "offset"), Value(t, "length"))).Concat(packed.SelectMany(p => p.Blobs.Select(b => (b.Offset, b.Length)))).Distinct().Order())
            {
                // Large tensors keep the page that they began on.
                var alignment = offset % 4096 == 0 ? 4096 : Alignment;
                target.Position = (target.Position + alignment - 1) / alignment * alignment;
                moved[(offset, length)] = target.Position;
                source.Position = offset;
                Copy(source, target, length);
            }
        }
        File.Move(temporary, data, overwrite: true);
        foreach (var tensor in plain)
            tensor.ExternalData.Single(e => e.Key == "offset").Value = Text(moved[(Value(tensor, "offset"), Value(tensor, "length"))]);
        foreach (var (entry, blobs) in packed)
            entry.Value = string.Join('|', blobs.Select(b => string.Join(';', [Text(moved[(b.Offset, b.Length)]), Text(b.Length), .. b.Hash])).Prepend(entry.Value.Split('|')[0]));
        return true;
    }

    /// <summary>KEY|OFFSET;LENGTH;…|OFFSET;LENGTH;…</summary>
    private static (long Offset, long Length, string[] Hash)[] Blobs(string value) => [.. value.Split('|')[1..].Select(b => b.Split(';')).Select(b => (Number(b[0]), Number(b[1]), b[2..]))];

    private static long Value(TensorProto tensor, string key) => tensor.ExternalData.FirstOrDefault(e => e.Key == key) is { } entry ? Number(entry.Value) : 0;

    private static void Copy(FileStream source, FileStream target, long length)
    {
        var buffer = new byte[1 << 20];
        while (length > 0)
        {
            var read = source.Read(buffer, 0, (int)Math.Min(buffer.Length, length));
            if (read == 0)
                throw new EndOfStreamException($"'{source.Name}' is shorter than its model says.");
            target.Write(buffer, 0, read);
            length -= read;
        }
    }

    private static long Number(string text) => long.Parse(text, CultureInfo.InvariantCulture);

    private static string Text(long value) => value.ToString(CultureInfo.InvariantCulture);
}
