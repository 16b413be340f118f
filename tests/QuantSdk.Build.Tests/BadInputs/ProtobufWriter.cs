using System.Text;

namespace QuantSdk.Build.Tests.BadInputs;

/// <summary>A protobuf message, field by field: varints and length-delimited bytes are all that ONNX files here need.</summary>
internal sealed class ProtobufWriter
{
    private readonly MemoryStream _bytes = new();

    public ProtobufWriter Add(int field, long value)
    {
        Varint((ulong)(field << 3));
        Varint((ulong)value);
        return this;
    }

    public ProtobufWriter Add(int field, ReadOnlySpan<byte> value)
    {
        Varint((ulong)(field << 3 | 2));
        Varint((ulong)value.Length);
        _bytes.Write(value);
        return this;
    }

    public ProtobufWriter Add(int field, string value) => Add(field, Encoding.UTF8.GetBytes(value));

    public ProtobufWriter Add(int field, ProtobufWriter message) => Add(field, message.ToArray());

    public byte[] ToArray() => _bytes.ToArray();

    private void Varint(ulong value)
    {
        for (; value >= 0x80; value >>= 7)
            _bytes.WriteByte((byte)(value | 0x80));
        _bytes.WriteByte((byte)value);
    }
}
