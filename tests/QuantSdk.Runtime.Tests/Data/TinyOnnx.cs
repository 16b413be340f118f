using System.Text;

namespace QuantSdk.Runtime.Tests;

/// <summary>Hand-written ONNX protobuf: one node from one float vector of any length to one output, or a denoiser of three.</summary>
internal static class TinyOnnx
{
    private const int Float = 1, Int64 = 7, Float16 = 10;

    /// <summary>The indices of the elements that are not zero, as int64[1, count]: a shape that depends on the data.</summary>
    public static byte[] NonZero(string outputDimension) => Model("NonZero", Int64, outputDimension);

    /// <summary>The deep feature of <see cref="Denoiser"/>.</summary>
    public const string Deep = "deep";

    /// <summary>y = (sample · text) − timestep · sample: the product is what can be cached. Rows of any number and length.</summary>
    public static byte[] Denoiser(bool half = false)
    {
        var type = half ? Float16 : Float;
        byte[] rows = [.. Symbol("n"), .. Symbol("m")];
        byte[] graph =
        [
            .. Bytes(1, Node("Mul", Deep, "sample", "text")), .. Bytes(1, Node("Mul", "shallow", "timestep", "sample")), .. Bytes(1, Node("Sub", "y", Deep, "shallow")), .. Text(2, "g"),
            .. Bytes(11, Value("sample", type, rows)), .. Bytes(11, Value("timestep", type, Number(1))), .. Bytes(11, Value("text", type, rows)), .. Bytes(12, Value("y", type, rows)),
        ];
        return [.. Varint(1, 8), .. Bytes(7, graph), .. Bytes(8, Varint(2, 17))];
    }

    private static byte[] Node(string operation, string output, params string[] inputs) => [.. inputs.SelectMany(input => Text(1, input)), .. Text(2, output), .. Text(3, output), .. Text(4, operation)];

    private static byte[] Model(string operation, int outputType, string outputDimension)
    {
        byte[] node = [.. Text(1, "x"), .. Text(2, "y"), .. Text(4, operation)];
        byte[] graph = [.. Bytes(1, node), .. Text(2, "g"), .. Bytes(11, Value("x", Float, Symbol("n"))), .. Bytes(12, Value("y", outputType, [.. Number(1), .. Symbol(outputDimension)]))];
        return [.. Varint(1, 8), .. Bytes(7, graph), .. Bytes(8, Varint(2, 17))];
    }

    private static byte[] Value(string name, int type, byte[] dimensions) =>
        [.. Text(1, name), .. Bytes(2, Bytes(1, [.. Varint(1, type), .. Bytes(2, dimensions)]))];

    private static byte[] Symbol(string name) => Bytes(1, Text(2, name));

    private static byte[] Number(int size) => Bytes(1, Varint(1, size));

    private static byte[] Text(int field, string text) => Bytes(field, Encoding.UTF8.GetBytes(text));

    private static byte[] Varint(int field, int value) => [(byte)(field << 3), (byte)value];

    private static byte[] Bytes(int field, byte[] content) => [(byte)(field << 3 | 2), .. Length(content.Length), .. content];

    private static byte[] Length(int length) => length < 128 ? [(byte)length] : [(byte)(length & 127 | 128), (byte)(length >> 7)];
}
