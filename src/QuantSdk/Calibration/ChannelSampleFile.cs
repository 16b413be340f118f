using System.Runtime.InteropServices;

namespace QuantSdk.Calibration;

/// <summary>Channel samples as a file, bit for bit: a count, then of each its name, channels, positions seen and the three arrays.</summary>
internal static class ChannelSampleFile
{
    public static void Write(string path, IReadOnlyDictionary<string, ChannelSample> samples)
    {
        using var writer = new BinaryWriter(File.Create(path));
        writer.Write(samples.Count);
        foreach (var (name, sample) in samples.OrderBy(s => s.Key, StringComparer.Ordinal))
        {
            writer.Write(name);
            writer.Write(sample.Channels);
            writer.Write(sample.Seen);
            foreach (var array in (float[][])[sample.Min, sample.Max, sample.Positions])
            {
                writer.Write(array.Length);
                writer.Write(MemoryMarshal.AsBytes(array.AsSpan()));
            }
        }
    }

    /// <exception cref="InvalidDataException">The file is no such file.</exception>
    /// <exception cref="EndOfStreamException">It ends too early.</exception>
    public static IReadOnlyDictionary<string, ChannelSample> Read(string path)
    {
        using var reader = new BinaryReader(File.OpenRead(path));
        var samples = new Dictionary<string, ChannelSample>(StringComparer.Ordinal);
        for (var rest = reader.ReadInt32(); rest > 0; rest--)
        {
            var name = reader.ReadString();
            var (channels, seen) = (reader.ReadInt32(), reader.ReadInt64());
            samples.Add(name, new ChannelSample(channels, Floats(), Floats(), Floats(), seen));
        }
        return samples;

        float[] Floats()
        {
            var length = reader.ReadInt32();
            if (length < 0 || (long)length * sizeof(float) > reader.BaseStream.Length - reader.BaseStream.Position)
                throw new InvalidDataException($"'{path}' holds an array of {length} numbers, more than there are.");
            var array = new float[length];
            reader.BaseStream.ReadExactly(MemoryMarshal.AsBytes(array.AsSpan()));
            return array;
        }
    }
}
