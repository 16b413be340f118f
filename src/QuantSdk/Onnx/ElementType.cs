using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Onnx;

/// <summary>Names and sizes of ONNX element types.</summary>
internal static class ElementType
{
    /// <summary>Bytes that <paramref name="count"/> elements of <paramref name="type"/> take in raw_data (4-bit and 2-bit types are packed).</summary>
    public static long Bytes(int type, long count) => (DataType)type switch
    {
        DataType.Float or DataType.Int32 or DataType.Uint32 => count * 4,
        DataType.Int64 or DataType.Uint64 or DataType.Double or DataType.Complex64 => count * 8,
        DataType.Float16 or DataType.Bfloat16 or DataType.Int16 or DataType.Uint16 => count * 2,
        DataType.Complex128 => count * 16,
        DataType.Uint4 or DataType.Int4 or DataType.Float4E2M1 => (count + 1) / 2,
        DataType.Uint2 or DataType.Int2 => (count + 3) / 4,
        _ => count,
    };

    /// <summary>The name ONNX uses: float, float16, int64, …</summary>
    public static string Name(int type) => ((DataType)type).ToString().ToLowerInvariant();

    public static bool IsFloat(int type) => (DataType)type is DataType.Float or DataType.Float16 or DataType.Bfloat16 or DataType.Double;
}
