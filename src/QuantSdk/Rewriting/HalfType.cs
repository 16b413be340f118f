using System.Runtime.InteropServices;
using QuantSdk.Onnx;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Rewriting;

/// <summary>A 16-bit float and what fits into it.</summary>
/// <param name="Name">fp16 or bf16, as HighPrecision has it.</param>
/// <param name="Largest">Largest finite value.</param>
/// <param name="LeastConstant">Constants whose largest magnitude is below lose bits: the least normal value.</param>
/// <param name="LeastScale">Scales below are off by more than 2⁻⁹, a quarter of an 8-bit step at the end of the range.</param>
/// <param name="MostObserved">Tensors seen beyond have no headroom for what was not seen.</param>
/// <param name="LeastObserved">Tensors whose largest magnitude is below have the steps of subnormals, more than 2⁻¹³ of it.</param>
/// <param name="Opset">The oldest operator set whose operators, scales among them, take the type.</param>
/// <param name="Without">Operators that ONNX does not have in the type.</param>
internal sealed record HalfType(string Name, DataType Type, float Largest, float LeastConstant, float LeastScale, float MostObserved, float LeastObserved, long Opset, IReadOnlySet<string> Without)
{
    public static HalfType Fp16 { get; } = new("fp16", DataType.Float16, 65504, 6.1035156e-5f, 1.5258789e-5f, 32768, 2.4414062e-4f, 19, new HashSet<string> { "Celu" });

    /// <summary>It has the range of 32 bits. Convolution, pooling and the trigonometric functions take it from opset 22 on.</summary>
    public static HalfType Bf16 { get; } = new("bf16", DataType.Bfloat16, 3.3895314e38f, 1.1754944e-38f, 1.1754944e-38f, 1.6947657e38f, 0, 22, new HashSet<string> { "Celu", "Einsum", "TopK", "OneHot", "Compress", "ReverseSequence", "Unique", "Shrink", "CenterCropPad" });

    public static HalfType Of(string name) => name switch
    {
        "fp16" => Fp16,
        "bf16" => Bf16,
        _ => throw new ArgumentOutOfRangeException(nameof(name), name, "fp16 or bf16"),
    };

    /// <summary>The nearest value of the type, ties to even.</summary>
    public float Round(float value) => Type == DataType.Float16 ? (float)(Half)value : BitConverter.UInt32BitsToSingle((uint)BFloat16Bits(value) << 16);

    /// <summary>A float32 tensor in this type, under another name.</summary>
    public TensorProto Narrow(TensorProto tensor, string name)
    {
        var values = tensor.ToFloats();
        var bits = Type == DataType.Float16 ? Array.ConvertAll(values, v => BitConverter.HalfToUInt16Bits((Half)v)) : Array.ConvertAll(values, BFloat16Bits);
        return Tensors.Raw(name, Type, MemoryMarshal.AsBytes(bits.AsSpan()).ToArray(), [.. tensor.Dims]);
    }

    private static ushort BFloat16Bits(float value)
    {
        var bits = BitConverter.SingleToUInt32Bits(value);
        return float.IsNaN(value) ? (ushort)0x7FC0 : (ushort)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
    }
}
