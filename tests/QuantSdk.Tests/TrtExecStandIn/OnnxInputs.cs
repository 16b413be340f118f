using System.Text;

namespace QuantSdk.TrtExecStandIn;

/// <summary>The inputs of an ONNX file that are no initializers, read off the protobuf wire: ModelProto.graph = 7; GraphProto.node = 1, initializer = 5, input = 11.</summary>
public sealed class OnnxInputs
{
    private readonly HashSet<string> _initializers = new(StringComparer.Ordinal);

    private OnnxInputs()
    {
    }

    /// <summary>By name; −1: dynamic.</summary>
    public Dictionary<string, long[]> Shapes { get; } = new(StringComparer.Ordinal);

    /// <summary>Op type, first output and name of each node.</summary>
    public List<(string Op, string Output, string Name)> Nodes { get; } = [];

    public static OnnxInputs Read(string path)
    {
        var inputs = new OnnxInputs();
        foreach (var (field, graph) in Fields(File.ReadAllBytes(path)))
        {
            if (field == 7)
                inputs.Graph(graph);
        }
        foreach (var name in inputs._initializers)
            inputs.Shapes.Remove(name);
        return inputs;
    }

    private void Graph(ReadOnlyMemory<byte> graph)
    {
        foreach (var (field, data) in Fields(graph))
        {
            switch (field)
            {
                case 1:
                    var node = Fields(data).ToArray();
                    Nodes.Add((Text(node, 4), Text(node, 2), Text(node, 3)));
                    break;
                case 5: _initializers.Add(Text(Fields(data), 8)); break;
                case 11: Input(data); break;
            }
        }
    }

    /// <summary>ValueInfoProto.name = 1, type = 2; TypeProto.tensor_type = 1; Tensor.shape = 2; TensorShapeProto.dim = 1; Dimension.dim_value = 1.</summary>
    private void Input(ReadOnlyMemory<byte> value)
    {
        var dims = new List<long>();
        foreach (var type in Of(value, 2))
        {
            foreach (var shape in Of(type, 1).SelectMany(t => Of(t, 2)))
            {
                foreach (var dim in Of(shape, 1))
                    dims.Add(Varint(dim));
            }
        }
        Shapes[Text(Fields(value), 1)] = [.. dims];
    }

    private static long Varint(ReadOnlyMemory<byte> dimension)
    {
        var span = dimension.Span;
        if (span.Length < 2 || span[0] != 1 << 3)
            return -1;
        var at = 1;
        return Read(span, ref at);
    }

    private static IEnumerable<ReadOnlyMemory<byte>> Of(ReadOnlyMemory<byte> message, int field) => Fields(message).Where(f => f.Field == field).Select(f => f.Data);

    private static string Text(IEnumerable<(int Field, ReadOnlyMemory<byte> Data)> fields, int field) => fields.Where(f => f.Field == field).Select(f => Encoding.UTF8.GetString(f.Data.Span)).FirstOrDefault() ?? "";

    /// <summary>The fields of a message that have a length.</summary>
    private static List<(int Field, ReadOnlyMemory<byte> Data)> Fields(ReadOnlyMemory<byte> message)
    {
        var fields = new List<(int, ReadOnlyMemory<byte>)>();
        var span = message.Span;
        for (var at = 0; at < span.Length;)
        {
            var key = Read(span, ref at);
            switch (key & 7)
            {
                case 0: Read(span, ref at); break;
                case 1: at += 8; break;
                case 2:
                    var length = (int)Read(span, ref at);
                    fields.Add(((int)(key >> 3), message.Slice(at, length)));
                    at += length;
                    break;
                case 5: at += 4; break;
                default: throw new InvalidDataException("no protobuf message");
            }
        }
        return fields;
    }

    private static long Read(ReadOnlySpan<byte> span, ref int at)
    {
        var value = 0L;
        for (var shift = 0; ; shift += 7)
        {
            var b = span[at++];
            value |= (long)(b & 0x7F) << shift;
            if ((b & 0x80) == 0)
                return value;
        }
    }
}
