using System.Runtime.InteropServices;
using Google.Protobuf;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Onnx;

/// <summary>Reading and making <see cref="TensorProto"/>s; values live in raw_data, little-endian.</summary>
internal static class Tensors
{
    public static long Count(this TensorProto tensor)
    {
        long count = 1;
        foreach (var dim in tensor.Dims)
            count *= dim;
        return count;
    }

    /// <summary>The float values; fp16, bf16 and double are converted.</summary>
    public static float[] ToFloats(this TensorProto tensor)
    {
        var count = (int)tensor.Count();
        var raw = tensor.RawData.Span;
        var values = new float[count];
        switch ((DataType)tensor.DataType)
        {
            case DataType.Float:
                raw.CopyTo(MemoryMarshal.AsBytes(values.AsSpan()));
                break;
            case DataType.Double:
                var doubles = MemoryMarshal.Cast<byte, double>(raw);
                for (var i = 0; i < count; i++)
                    values[i] = (float)doubles[i];
                break;
            case DataType.Float16:
                var halves = MemoryMarshal.Cast<byte, Half>(raw);
                for (var i = 0; i < count; i++)
                    values[i] = (float)halves[i];
                break;
            case DataType.Bfloat16:
                var shorts = MemoryMarshal.Cast<byte, ushort>(raw);
                for (var i = 0; i < count; i++)
                    values[i] = BitConverter.Int32BitsToSingle(shorts[i] << 16);
                break;
            default:
                throw NotFloat(tensor);
        }
        return values;
    }

    /// <summary>The integer values of an int64 or int32 tensor.</summary>
    public static long[] ToInt64s(this TensorProto tensor) => (DataType)tensor.DataType switch
    {
        DataType.Int64 => MemoryMarshal.Cast<byte, long>(tensor.RawData.Span).ToArray(),
        DataType.Int32 => [.. MemoryMarshal.Cast<byte, int>(tensor.RawData.Span).ToArray().Select(x => (long)x)],
        _ => throw new InvalidOperationException($"'{tensor.Name}' holds {ElementType.Name(tensor.DataType)}, not integers."),
    };

    /// <summary>Moves values from the typed fields into raw_data, so that every reader finds them in one place.</summary>
    public static void MoveToRawData(TensorProto tensor)
    {
        if (tensor.HasRawData)
            return;
        byte[]? bytes = (DataType)tensor.DataType switch
        {
            DataType.Float or DataType.Complex64 => Bytes<float>([.. tensor.FloatData]),
            DataType.Double or DataType.Complex128 => Bytes<double>([.. tensor.DoubleData]),
            DataType.Int64 => Bytes<long>([.. tensor.Int64Data]),
            DataType.Uint32 => Bytes<uint>([.. tensor.Uint64Data.Select(x => (uint)x)]),
            DataType.Uint64 => Bytes<ulong>([.. tensor.Uint64Data]),
            DataType.Int32 => Bytes<int>([.. tensor.Int32Data]),
            DataType.Float16 or DataType.Bfloat16 or DataType.Int16 or DataType.Uint16 => Bytes<ushort>([.. tensor.Int32Data.Select(x => (ushort)x)]),
            DataType.String => null,
            _ => Bytes<byte>([.. tensor.Int32Data.Select(x => (byte)x)]),
        };
        if (bytes is null || bytes.Length != ElementType.Bytes(tensor.DataType, tensor.Count()))
            return;
        tensor.RawData = UnsafeByteOperations.UnsafeWrap(bytes);
        tensor.FloatData.Clear();
        tensor.DoubleData.Clear();
        tensor.Int64Data.Clear();
        tensor.Uint64Data.Clear();
        tensor.Int32Data.Clear();
    }

    private static byte[] Bytes<T>(T[] values)
        where T : unmanaged => MemoryMarshal.AsBytes(values.AsSpan()).ToArray();

    /// <summary>A tensor over <paramref name="values"/>; dims null means one dimension, empty a scalar.</summary>
    public static TensorProto Create<T>(string name, T[] values, params ReadOnlySpan<long> dims)
        where T : unmanaged => Raw(name, TypeOf<T>(), MemoryMarshal.AsBytes(values.AsSpan()).ToArray(), dims);

    public static TensorProto Vector<T>(string name, params T[] values)
        where T : unmanaged => Create(name, values, values.Length);

    public static TensorProto Scalar<T>(string name, T value)
        where T : unmanaged => Create(name, [value], []);

    public static TensorProto Raw(string name, DataType type, byte[] bytes, params ReadOnlySpan<long> dims)
    {
        var tensor = new TensorProto { Name = name, DataType = (int)type, RawData = UnsafeByteOperations.UnsafeWrap(bytes) };
        foreach (var dim in dims)
            tensor.Dims.Add(dim);
        return tensor;
    }

    private static DataType TypeOf<T>() => default(T) switch
    {
        float => DataType.Float,
        double => DataType.Double,
        Half => DataType.Float16,
        long => DataType.Int64,
        int => DataType.Int32,
        sbyte => DataType.Int8,
        byte => DataType.Uint8,
        bool => DataType.Bool,
        _ => throw new NotSupportedException(typeof(T).Name),
    };

    private static InvalidOperationException NotFloat(TensorProto tensor) =>
        new($"'{tensor.Name}' holds {ElementType.Name(tensor.DataType)}, not floating point.");
}
