using System.Text;

namespace QuantSdk.Runtime.Tests;

/// <summary>Cuts a model at tensors on the level of protobuf fields: enough for graphs without control flow, and nothing of the library's own cutter.</summary>
internal static class OnnxCut
{
    private const int Graph = 7, Node = 1, Input = 11, Output = 12;

    /// <summary>The model with further outputs: what is appended to a protobuf message is merged into it.</summary>
    public static byte[] Full(byte[] model, int type, params IEnumerable<string> tensors) =>
        [.. model, .. Field(Graph, [.. tensors.SelectMany(name => Field(Output, Value(name, type)))])];

    /// <summary>What computes the model's outputs from its inputs and from the tensors, which become inputs.</summary>
    public static byte[] Live(byte[] model, int type, params IReadOnlyCollection<string> tensors)
    {
        var graph = Fields(model).Single(field => field.Number == Graph).Content;
        var fields = Fields(graph);
        var wanted = fields.Where(field => field.Number == Output).Select(field => Texts(field.Content, 1).Single()).ToHashSet();
        var nodes = new Stack<byte[]>();
        foreach (var (_, raw, node) in fields.Where(field => field.Number == Node).Reverse())
        {
            if (!Texts(node, 2).Any(output => wanted.Contains(output) && !tensors.Contains(output)))
                continue;
            nodes.Push(raw);
            wanted.UnionWith(Texts(node, 1));
        }
        byte[] live = [.. nodes.SelectMany(raw => raw), .. fields.Where(field => field.Number != Node).SelectMany(field => field.Raw), .. tensors.SelectMany(name => Field(Input, Value(name, type)))];
        return [.. Fields(model).Where(field => field.Number != Graph).SelectMany(field => field.Raw), .. Field(Graph, live)];
    }

    private static IEnumerable<string> Texts(byte[] message, int number) => Fields(message).Where(field => field.Number == number).Select(field => Encoding.UTF8.GetString(field.Content));

    /// <summary>A ValueInfoProto: name, element type (1 float, 10 float16), no shape.</summary>
    private static byte[] Value(string name, int type) => [.. Field(1, Encoding.UTF8.GetBytes(name)), .. Field(2, Field(1, [1 << 3, (byte)type]))];

    private static byte[] Field(int number, byte[] content) => [(byte)(number << 3 | 2), .. Varint(content.Length), .. content];

    private static byte[] Varint(int value) => value < 128 ? [(byte)value] : [(byte)(value & 127 | 128), .. Varint(value >> 7)];

    private static List<(int Number, byte[] Raw, byte[] Content)> Fields(byte[] message)
    {
        var fields = new List<(int, byte[], byte[])>();
        for (var at = 0; at < message.Length;)
        {
            var start = at;
            var tag = Read();
            var length = (tag & 7) switch { 0 => 0, 1 => 8, 2 => Read(), 5 => 4, var wire => throw new NotSupportedException($"wire type {wire}") };
            if ((tag & 7) == 0)
                Read();
            fields.Add((tag >> 3, message[start..(at + length)], message[at..(at + length)]));
            at += length;

            int Read()
            {
                var value = 0UL;
                for (var shift = 0; ; shift += 7)
                {
                    var b = message[at++];
                    value |= (ulong)(b & 127) << shift;
                    if (b < 128)
                        return (int)value;
                }
            }
        }
        return fields;
    }
}
