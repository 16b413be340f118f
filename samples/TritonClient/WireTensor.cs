using System.Runtime.InteropServices;
using QuantSdk.Runtime;

namespace TritonClient;

/// <summary>Tensors as the protocol has them: little-endian bytes, row-major, and a name for the type.</summary>
internal static class WireTensor
{
    public static string TypeName(string onnx) => onnx switch
    {
        "float" => "FP32",
        "float16" => "FP16",
        "double" => "FP64",
        _ => onnx.ToUpperInvariant(),
    };

    public static byte[] Bytes(ModelTensor tensor) => tensor.Type switch
    {
        "float" => Of<float>(tensor),
        "float16" => Of<Half>(tensor),
        "double" => Of<double>(tensor),
        "int64" => Of<long>(tensor),
        "int32" => Of<int>(tensor),
        "int8" => Of<sbyte>(tensor),
        "uint8" => Of<byte>(tensor),
        _ => Of<bool>(tensor),
    };

    public static ModelTensor Create(string type, long[] shape, ReadOnlySpan<byte> bytes) => type switch
    {
        "FP32" => To<float>(shape, bytes),
        "FP16" => To<Half>(shape, bytes),
        "FP64" => To<double>(shape, bytes),
        "INT64" => To<long>(shape, bytes),
        "INT32" => To<int>(shape, bytes),
        "INT8" => To<sbyte>(shape, bytes),
        "UINT8" => To<byte>(shape, bytes),
        "BOOL" => To<bool>(shape, bytes),
        _ => throw new NotSupportedException($"Tensors of type {type} are not known here."),
    };

    private static byte[] Of<T>(ModelTensor tensor)
        where T : unmanaged => MemoryMarshal.AsBytes(tensor.AsSpan<T>()).ToArray();

    private static ModelTensor To<T>(long[] shape, ReadOnlySpan<byte> bytes)
        where T : unmanaged => ModelTensor.Create(MemoryMarshal.Cast<byte, T>(bytes), shape);
}
