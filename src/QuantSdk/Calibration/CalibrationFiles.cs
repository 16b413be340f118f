using System.IO.Compression;
using QuantSdk.Interchange;
using QuantSdk.Runtime;

namespace QuantSdk.Calibration;

/// <summary>Arrays by name from .npz, .npy and .safetensors files; several files are joined along axis 0.</summary>
internal static class CalibrationFiles
{
    /// <summary>Reads every file. A .npy has no key of its own and gets <paramref name="onlyName"/>, else its file name.</summary>
    public static IReadOnlyDictionary<string, NpyArray> Read(IReadOnlyList<string> files, string? onlyName)
    {
        var parts = new SortedDictionary<string, List<NpyArray>>(StringComparer.Ordinal);
        foreach (var file in files)
        {
            foreach (var (key, array) in ReadFile(file, onlyName))
            {
                if (!parts.TryGetValue(key, out var list))
                    parts[key] = list = [];
                list.Add(array);
            }
        }
        return parts.ToDictionary(p => p.Key, p => Join(p.Key, p.Value), StringComparer.Ordinal);
    }

    private static List<(string Key, NpyArray Array)> ReadFile(string file, string? onlyName)
    {
        if (!File.Exists(file))
            throw new QuantSdkException("QSDK1010", $"The calibration data '{file}' does not exist. Check CalibrationData (a glob that matches nothing is passed on as it is).", file);
        var name = Path.GetFileName(file);
        try
        {
            using var stream = File.OpenRead(file);
            switch (Path.GetExtension(file).ToLowerInvariant())
            {
                case ".npy":
                    return [(onlyName ?? Path.GetFileNameWithoutExtension(file), NpyFile.Read(stream, stream.Length, file, name))];
                case ".npz":
                    using (var zip = new ZipArchive(stream, ZipArchiveMode.Read))
                    {
                        var arrays = new List<(string, NpyArray)>();
                        foreach (var entry in zip.Entries)
                        {
                            var key = entry.FullName.EndsWith(".npy", StringComparison.Ordinal) ? entry.FullName[..^4] : entry.FullName;
                            using var data = entry.Open();
                            arrays.Add((key, NpyFile.Read(data, entry.Length, file, $"'{key}' in {name}")));
                        }
                        return arrays;
                    }
                case ".safetensors":
                    return [.. SafetensorsFile.Read(stream, file).Select(t => (t.Name, SafetensorsArrays.Array(t, file)))];
                default:
                    throw new QuantSdkException("QSDK1013", $"'{file}' is not calibration data: .npz, .npy and .safetensors are read.", file);
            }
        }
        catch (Exception e) when (e is InvalidDataException or EndOfStreamException)
        {
            throw NpyFile.Bad(file, name, e.Message.TrimEnd('.'), e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new QuantSdkException("QSDK1010", $"The calibration data '{file}' cannot be opened: {e.Message}", file, inner: e);
        }
    }

    private static NpyArray Join(string key, List<NpyArray> parts)
    {
        if (parts.Count == 1)
            return parts[0];
        var first = parts[0];
        if (parts.FirstOrDefault(p => p.Type != first.Type || p.Shape.Count == 0 || !p.Shape.Skip(1).SequenceEqual(first.Shape.Skip(1))) is { } other)
            throw new QuantSdkException("QSDK1014", $"'{key}' differs between files: {first} and {other}. All rows of a key need one dtype and one shape.");
        var data = new byte[parts.Sum(p => p.Data.Length)];
        var offset = 0;
        foreach (var part in parts)
        {
            part.Data.CopyTo(data.AsMemory(offset));
            offset += part.Data.Length;
        }
        return first with { Shape = [parts.Sum(p => p.Rows), .. first.Shape.Skip(1)], Data = data, Source = $"'{key}' in {parts.Count} files" };
    }
}
