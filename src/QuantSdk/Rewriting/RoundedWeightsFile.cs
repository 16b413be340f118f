using System.Runtime.InteropServices;
using QuantSdk.Numerics;
using QuantSdk.Onnx;
using QuantSdk.Planning;

namespace QuantSdk.Rewriting;

/// <summary>Chosen codes as a file: a count, then of each its node, codes, scales and zero points. Their grids follow from the plan.</summary>
internal static class RoundedWeightsFile
{
    public static void Write(string path, RoundedWeights weights)
    {
        using var writer = new BinaryWriter(File.Create(path));
        writer.Write(weights.Layers.Count);
        foreach (var (node, weight) in weights.Layers.OrderBy(l => l.Key, StringComparer.Ordinal))
        {
            writer.Write(node);
            Write(writer, MemoryMarshal.AsBytes(weight.Codes.AsSpan()));
            Write(writer, MemoryMarshal.AsBytes(weight.Grid.Scales.AsSpan()));
            writer.Write(weight.Grid.ZeroPoints is not null);
            Write(writer, MemoryMarshal.AsBytes(weight.Grid.ZeroPoints.AsSpan()));
        }
    }

    /// <param name="model">The model that the plan is of.</param>
    /// <param name="negativeScales">As the codes were chosen.</param>
    /// <exception cref="InvalidDataException">The file is no such file, or of another plan.</exception>
    /// <exception cref="EndOfStreamException">It ends too early.</exception>
    public static RoundedWeights Read(string path, Plan plan, OnnxModel model, bool negativeScales)
    {
        using var reader = new BinaryReader(File.OpenRead(path));
        var layers = plan.Layers.ToDictionary(l => l.Node, StringComparer.Ordinal);
        var initializers = model.Graph.Initializer.ToDictionary(t => t.Name, StringComparer.Ordinal);
        var weights = new Dictionary<string, RoundedWeight>(StringComparer.Ordinal);
        for (var rest = reader.ReadInt32(); rest > 0; rest--)
        {
            var node = reader.ReadString();
            var (codes, scales, hasZeroPoints, zeroPoints) = (Read<sbyte>(reader), Read<float>(reader), reader.ReadBoolean(), Read<sbyte>(reader));
            if (!layers.TryGetValue(node, out var layer) || !initializers.TryGetValue(layer.Weight.Tensor, out var tensor) || codes.Length != tensor.Count())
                throw new InvalidDataException($"'{path}' holds codes of '{node}', which the plan has not.");
            var format = EncodedLayer.Format(layer.Weight, negativeScales);
            var geometry = IntBlockGeometry.Of(tensor.Dims, layer.Weight.Axis, format.BlockSize);
            weights.Add(node, new RoundedWeight(codes, new IntGrid(format, geometry, scales, hasZeroPoints ? zeroPoints : null)));
        }
        return new RoundedWeights(weights);
    }

    private static void Write(BinaryWriter writer, ReadOnlySpan<byte> bytes)
    {
        writer.Write(bytes.Length);
        writer.Write(bytes);
    }

    private static T[] Read<T>(BinaryReader reader) where T : unmanaged
    {
        var length = reader.ReadInt32();
        if (length < 0 || length > reader.BaseStream.Length - reader.BaseStream.Position)
            throw new InvalidDataException($"An array of {length} bytes is longer than the file.");
        var bytes = reader.ReadBytes(length);
        return MemoryMarshal.Cast<byte, T>(bytes).ToArray();
    }
}
