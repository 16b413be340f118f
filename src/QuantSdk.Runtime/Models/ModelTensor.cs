using System.Runtime.InteropServices;

namespace QuantSdk.Runtime;

/// <summary>An immutable tensor: an element type, a shape and the elements in row-major order.</summary>
public sealed class ModelTensor
{
    private readonly byte[] _bytes;
    private readonly long[] _shape;

    private ModelTensor(TensorType type, long[] shape, byte[] bytes) => (ElementType, _shape, _bytes) = (type, shape, bytes);

    /// <summary>The element type by ONNX's name: <c>float</c>, <c>float16</c>, <c>double</c>, <c>int64</c>, <c>int32</c>, <c>int8</c>, <c>uint8</c> or <c>bool</c>.</summary>
    public string Type => ElementType.Name;

    /// <summary>The dimensions; empty for a scalar.</summary>
    public IReadOnlyList<long> Shape => Array.AsReadOnly(_shape);

    /// <summary>The number of elements.</summary>
    public int Count => _bytes.Length / ElementType.Bytes;

    internal TensorType ElementType { get; }

    internal ReadOnlySpan<long> Dimensions => _shape;

    internal ReadOnlySpan<byte> Bytes => _bytes;

    /// <summary>Makes a tensor from a copy of its elements.</summary>
    /// <typeparam name="T">float, <see cref="Half"/>, double, long, int, sbyte, byte or bool.</typeparam>
    /// <param name="elements">The elements in row-major order.</param>
    /// <param name="shape">The dimensions; none for a scalar.</param>
    /// <exception cref="QuantSdkException">QSDK7021: <typeparamref name="T"/> is no element type; QSDK7022: the shape does not hold that many elements.</exception>
    public static ModelTensor Create<T>(ReadOnlySpan<T> elements, params ReadOnlySpan<long> shape)
        where T : unmanaged
    {
        var type = TensorType.Of<T>();
        if (TensorShape.Count(shape, type) is var count && count != elements.Length)
            throw new QuantSdkException("QSDK7022", $"A tensor of shape {TensorShape.Text(shape)} has {count} elements; {elements.Length} were given.");
        return FromBytes(type, shape, MemoryMarshal.AsBytes(elements));
    }

    /// <summary>Makes a tensor from a copy of its elements.</summary>
    /// <typeparam name="T">float, <see cref="Half"/>, double, long, int, sbyte, byte or bool.</typeparam>
    /// <param name="elements">The elements in row-major order.</param>
    /// <param name="shape">The dimensions; none for a scalar.</param>
    /// <exception cref="QuantSdkException">As for the overload that takes a span.</exception>
    public static ModelTensor Create<T>(T[] elements, params ReadOnlySpan<long> shape)
        where T : unmanaged => Create((ReadOnlySpan<T>)elements, shape);

    /// <summary>The elements, without a copy.</summary>
    /// <typeparam name="T">The .NET type of <see cref="Type"/>.</typeparam>
    /// <exception cref="QuantSdkException">QSDK7021: the tensor holds another type.</exception>
    public ReadOnlySpan<T> AsSpan<T>()
        where T : unmanaged
    {
        if (TensorType.Of<T>() != ElementType)
            throw new QuantSdkException("QSDK7021", $"The tensor holds {Type}, not {TensorType.Of<T>().Name}.");
        return MemoryMarshal.Cast<byte, T>(_bytes);
    }

    /// <summary>The type and the shape, as in <c>float[4,1,32,32]</c>.</summary>
    public override string ToString() => Type + TensorShape.Text(_shape);

    internal static ModelTensor FromBytes(TensorType type, ReadOnlySpan<long> shape, ReadOnlySpan<byte> bytes) => new(type, shape.ToArray(), bytes.ToArray());

    /// <summary>Makes a float tensor whose elements <paramref name="fill"/> writes in place.</summary>
    internal static ModelTensor Build(ReadOnlySpan<long> shape, Action<Span<float>> fill)
    {
        var type = TensorType.Of<float>();
        var bytes = new byte[TensorShape.Count(shape, type) * type.Bytes];
        fill(MemoryMarshal.Cast<byte, float>(bytes.AsSpan()));
        return new(type, shape.ToArray(), bytes);
    }
}
