using Microsoft.ML.OnnxRuntime.Tensors;

namespace QuantSdk.Runtime;

/// <summary>An element type that models may have at their inputs and outputs.</summary>
/// <param name="Name">ONNX's name.</param>
/// <param name="Element">ONNX Runtime's number for it.</param>
/// <param name="Type">The .NET type whose bits are the same.</param>
/// <param name="Bytes">The size of one element.</param>
internal sealed record TensorType(string Name, TensorElementType Element, Type Type, int Bytes)
{
    private static readonly TensorType[] All =
    [
        new("float", TensorElementType.Float, typeof(float), 4),
        new("float16", TensorElementType.Float16, typeof(Half), 2),
        new("double", TensorElementType.Double, typeof(double), 8),
        new("int64", TensorElementType.Int64, typeof(long), 8),
        new("int32", TensorElementType.Int32, typeof(int), 4),
        new("int8", TensorElementType.Int8, typeof(sbyte), 1),
        new("uint8", TensorElementType.UInt8, typeof(byte), 1),
        new("bool", TensorElementType.Bool, typeof(bool), 1),
    ];

    public static string Names => string.Join(", ", All.Select(type => type.Name));

    public static TensorType? Of(TensorElementType element) => Array.Find(All, type => type.Element == element);

    public static TensorType? Of(string name) => Array.Find(All, type => type.Name == name);

    public static TensorType Of<T>() where T : unmanaged => Cache<T>.Value
        ?? throw new QuantSdkException("QSDK7021", $"{typeof(T).Name} is no element type of a tensor. Use float, Half, double, long, int, sbyte, byte or bool ({Names}).");

    private static class Cache<T>
    {
        public static readonly TensorType? Value = Array.Find(All, type => type.Type == typeof(T));
    }
}
