using System.Globalization;
using System.Security.Cryptography;
using QuantSdk.Onnx;
using QuantSdk.Runtime;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Caching;

/// <summary>
/// Two models over one data file: what the second has in common with the first, by content hash, type, shape and prepacked form, it reads from the
/// first one's data; the rest is appended there.
/// </summary>
internal static class SharedWeights
{
    private const int PageAlignment = 4096, ElementAlignment = 64;

    /// <param name="full">The first model; its data lies beside it as .data.</param>
    /// <param name="live">The second model, which has a data file of its own until now, or none.</param>
    /// <returns>Bytes that were appended.</returns>
    /// <exception cref="QuantSdkException">QSDK1004 where the files cannot be written.</exception>
    public static long Join(string full, string live)
    {
        var shared = Path.ChangeExtension(full, ".data");
        try
        {
            var known = new Dictionary<string, StringStringEntryProto[]>(StringComparer.Ordinal);
            foreach (var tensor in External(Read(full)))
                known.TryAdd(Key(tensor, full), [.. tensor.ExternalData]);
            var model = Read(live);
            var own = new SortedSet<string>(StringComparer.Ordinal);
            long before;
            using (var data = new FileStream(shared, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite, 1 << 20))
            {
                before = data.Length;
                data.Position = before;
                foreach (var tensor in External(model))
                {
                    var key = Key(tensor, live);
                    own.Add(Entry(tensor, "location")!);
                    if (!known.TryGetValue(key, out var entries))
                        known[key] = entries = Append(data, tensor, live);
                    tensor.ExternalData.Clear();
                    tensor.ExternalData.Add(entries.Select(e => e.Clone()));
                }
                before = data.Length - before;
            }
            // In place of the old file, not into it: someone may have it mapped.
            OnnxFile.SaveGraph(model, live + ".joined");
            File.Move(live + ".joined", live, overwrite: true);
            foreach (var file in own.Select(f => Path.Combine(Path.GetDirectoryName(live)!, f)).Where(f => f != shared))
                File.Delete(file);
            return before;
        }
        catch (Exception e) when (FileSystemError.Is(e))
        {
            throw new QuantSdkException("QSDK1004", $"Cannot write '{live}': {FileSystemError.Reason(e)}", live, inner: e);
        }
    }

    private static ModelProto Read(string path)
    {
        using var stream = File.OpenRead(path);
        return ModelProto.Parser.ParseFrom(stream);
    }

    private static IEnumerable<TensorProto> External(ModelProto model) => OnnxFile.AllTensors(model.Graph).Where(t => t.DataLocation == DataLocation.External);

    private static string? Entry(TensorProto tensor, string key) => tensor.ExternalData.FirstOrDefault(e => e.Key == key)?.Value;

    /// <summary>Equal for tensors that any reader takes for the same: type, dims, bytes, and the bytes of every prepacked form under its kernel's key.</summary>
    private static string Key(TensorProto tensor, string model)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        var range = OnnxFile.Locate(tensor, model);
        using var file = File.OpenHandle(range.File);
        Add(range.Offset, range.Length);
        var text = new List<string> { $"{tensor.DataType}[{string.Join(',', tensor.Dims)}]" };
        foreach (var (kernel, blobs) in Prepacked(tensor))
        {
            text.Add($"{kernel}|{string.Join('|', blobs.Select(b => b.Length))}");
            foreach (var (offset, length) in blobs)
                Add(offset, length);
        }
        return $"{string.Join('/', text)}/{Convert.ToHexString(hash.GetHashAndReset())}";

        void Add(long offset, long length)
        {
            var buffer = new byte[(int)Math.Min(length, 1 << 20)];
            for (var at = 0L; at < length;)
            {
                var read = RandomAccess.Read(file, buffer.AsSpan(0, (int)Math.Min(buffer.Length, length - at)), offset + at);
                if (read == 0)
                    throw new EndOfStreamException($"'{range.File}' ends before byte {offset + length}.");
                hash.AppendData(buffer, 0, read);
                at += read;
            }
        }
    }

    /// <summary>ONNX Runtime writes KEY|OFFSET;LENGTH;HASH|OFFSET;LENGTH;HASH… as the values of prepacked_0, prepacked_1, …</summary>
    private static IEnumerable<(string Kernel, (long Offset, long Length)[] Blobs)> Prepacked(TensorProto tensor)
    {
        foreach (var entry in tensor.ExternalData.Where(IsPrepacked).OrderBy(e => e.Value, StringComparer.Ordinal))
        {
            var parts = entry.Value.Split('|');
            yield return (parts[0], [.. parts[1..].Select(p => p.Split(';')).Select(p => (Number(p[0]), Number(p[1])))]);
        }
    }

    private static bool IsPrepacked(StringStringEntryProto entry) => entry.Key.StartsWith("prepacked", StringComparison.Ordinal);

    private static long Number(string text) => long.Parse(text, NumberStyles.None, CultureInfo.InvariantCulture);

    private static StringStringEntryProto[] Append(FileStream data, TensorProto tensor, string model)
    {
        var range = OnnxFile.Locate(tensor, model);
        using var source = File.OpenHandle(range.File);
        var entries = new List<StringStringEntryProto>
        {
            new() { Key = "location", Value = Path.GetFileName(data.Name) },
            new() { Key = "offset", Value = Text(Copy(range.Offset, range.Length)) },
            new() { Key = "length", Value = Text(range.Length) },
        };
        foreach (var entry in tensor.ExternalData.Where(IsPrepacked))
        {
            var parts = entry.Value.Split('|');
            for (var i = 1; i < parts.Length; i++)
            {
                var blob = parts[i].Split(';');
                blob[0] = Text(Copy(Number(blob[0]), Number(blob[1])));
                parts[i] = string.Join(';', blob);
            }
            entries.Add(new StringStringEntryProto { Key = entry.Key, Value = string.Join('|', parts) });
        }
        return [.. entries];

        long Copy(long offset, long length)
        {
            var alignment = length >= PageAlignment * 16 ? PageAlignment : ElementAlignment;
            data.Position = (data.Length + alignment - 1) / alignment * alignment;
            var start = data.Position;
            var buffer = new byte[(int)Math.Min(length, 1 << 20)];
            for (var at = 0L; at < length;)
            {
                var read = RandomAccess.Read(source, buffer.AsSpan(0, (int)Math.Min(buffer.Length, length - at)), offset + at);
                if (read == 0)
                    throw new EndOfStreamException($"'{range.File}' ends before byte {offset + length}.");
                data.Write(buffer, 0, read);
                at += read;
            }
            // Alignment is by the length of the file, which a buffer must not hide.
            data.Flush();
            return start;
        }

        static string Text(long number) => number.ToString(CultureInfo.InvariantCulture);
    }
}
