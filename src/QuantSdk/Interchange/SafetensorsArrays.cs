using System.Runtime.InteropServices;
using QuantSdk.Calibration;
using QuantSdk.Runtime;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Interchange;

/// <summary>Tensors of a .safetensors file as calibration data.</summary>
internal static class SafetensorsArrays
{
    /// <summary>bfloat16 becomes float, which holds each of its values.</summary>
    /// <exception cref="QuantSdkException">QSDK1012 for the 8-bit floating-point types, which no model takes as input.</exception>
    public static NpyArray Array(SafetensorsTensor tensor, string file)
    {
        var source = $"'{tensor.Name}' in {Path.GetFileName(file)}";
        return tensor.Dtype == "BF16"
            ? new NpyArray(DataType.Float, tensor.Shape, Widen(tensor.Data.Span), source)
            : new NpyArray(Type(tensor.Dtype, source, file), tensor.Shape, tensor.Data, source);
    }

    private static DataType Type(string dtype, string source, string file) => dtype switch
    {
        "F64" => DataType.Double,
        "F32" => DataType.Float,
        "F16" => DataType.Float16,
        "I64" => DataType.Int64,
        "I32" => DataType.Int32,
        "I16" => DataType.Int16,
        "I8" => DataType.Int8,
        "U64" => DataType.Uint64,
        "U32" => DataType.Uint32,
        "U16" => DataType.Uint16,
        "U8" => DataType.Uint8,
        "BOOL" => DataType.Bool,
        _ => throw new QuantSdkException("QSDK1012", $"{source} has dtype '{dtype}'. Save it as F32, F16, BF16, F64, an integer or BOOL.", file),
    };

    /// <summary>bfloat16 is the upper half of a float.</summary>
    private static byte[] Widen(ReadOnlySpan<byte> bfloat)
    {
        var halves = MemoryMarshal.Cast<byte, ushort>(bfloat);
        var floats = new byte[halves.Length * sizeof(float)];
        var bits = MemoryMarshal.Cast<byte, uint>(floats.AsSpan());
        for (var i = 0; i < halves.Length; i++)
            bits[i] = (uint)halves[i] << 16;
        return floats;
    }
}
