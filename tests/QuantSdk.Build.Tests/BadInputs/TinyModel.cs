using System.Globalization;
using System.Runtime.InteropServices;

namespace QuantSdk.Build.Tests.BadInputs;

/// <summary>
/// Models of a few nodes, written byte by byte. <see cref="Classifier"/>: x[N,8] → three products with Relu between → y[N,8];
/// the product in the middle is the one that gets quantised. <see cref="Denoiser"/>: the same on sample[N,1,8,8], with timestep[1] and cond[N,1,8,8] added.
/// </summary>
internal static class TinyModel
{
    private const int Size = 8;

    /// <summary>Where the weights `w2` are, if not in the model.</summary>
    public sealed record External(string Location, long Offset = 0, long Length = Size * Size * sizeof(float));

    public static byte[] Classifier(int opset = 17, External? external = null, string activation = "Relu", long firstDimension = Size) => Model(opset, new ProtobufWriter()
        .Add(1, Node("MatMul", "first", ["x", "w1"], "a")).Add(1, Node(activation, "act1", ["a"], "b"))
        .Add(1, Node("MatMul", "middle", ["b", "w2"], "c")).Add(1, Node("Relu", "act2", ["c"], "d"))
        .Add(1, Node("MatMul", "last", ["d", "w3"], "y"))
        .Add(5, Weight("w1", firstDimension)).Add(5, Weight("w2", Size, external)).Add(5, Weight("w3", Size))
        .Add(11, Value("x", [-1, Size])).Add(12, Value("y", [-1, Size])));

    public static byte[] WithoutWeights() => Model(17, new ProtobufWriter()
        .Add(1, Node("Relu", "only", ["x"], "y")).Add(11, Value("x", [-1, Size])).Add(12, Value("y", [-1, Size])));

    public static byte[] Denoiser() => Model(17, new ProtobufWriter()
        .Add(1, Node("MatMul", "first", ["sample", "w1"], "a")).Add(1, Node("Add", "time", ["a", "timestep"], "b")).Add(1, Node("Add", "condition", ["b", "cond"], "c"))
        .Add(1, Node("MatMul", "middle", ["c", "w2"], "d")).Add(1, Node("Relu", "act", ["d"], "e")).Add(1, Node("MatMul", "last", ["e", "w3"], "y"))
        .Add(5, Weight("w1", Size)).Add(5, Weight("w2", Size)).Add(5, Weight("w3", Size))
        .Add(11, Value("sample", [-1, 1, Size, Size])).Add(11, Value("timestep", [1])).Add(11, Value("cond", [-1, 1, Size, Size])).Add(12, Value("y", [-1, 1, Size, Size])));

    private static byte[] Model(int opset, ProtobufWriter graph) =>
        new ProtobufWriter().Add(1, 8).Add(7, graph.Add(2, "tiny")).Add(8, new ProtobufWriter().Add(2, opset)).ToArray();

    private static ProtobufWriter Node(string op, string name, string[] inputs, string output)
    {
        var node = new ProtobufWriter();
        foreach (var input in inputs)
            node.Add(1, input);
        return node.Add(2, output).Add(3, name).Add(4, op);
    }

    private static ProtobufWriter Weight(string name, long firstDimension, External? external = null)
    {
        var tensor = new ProtobufWriter().Add(1, firstDimension).Add(1, Size).Add(2, 1).Add(8, name);
        if (external is null)
            return tensor.Add(9, MemoryMarshal.AsBytes<float>(Enumerable.Range(0, Size * Size).Select(i => (i % 7 - 3) / 8f).ToArray()));
        return tensor.Add(13, Entry("location", external.Location)).Add(13, Entry("offset", external.Offset)).Add(13, Entry("length", external.Length)).Add(14, 1);
    }

    private static ProtobufWriter Entry(string key, object value) => new ProtobufWriter().Add(1, key).Add(2, string.Create(CultureInfo.InvariantCulture, $"{value}"));

    private static ProtobufWriter Value(string name, long[] shape)
    {
        var dimensions = new ProtobufWriter();
        foreach (var size in shape)
            dimensions.Add(1, size < 0 ? new ProtobufWriter().Add(2, "N") : new ProtobufWriter().Add(1, size));
        return new ProtobufWriter().Add(1, name).Add(2, new ProtobufWriter().Add(1, new ProtobufWriter().Add(1, 1).Add(2, dimensions)));
    }
}
