namespace QuantSdk.Interchange;

/// <summary>One tensor of a .safetensors file.</summary>
/// <param name="Dtype">F64, F32, F16, BF16, F8_E4M3, F8_E5M2, I64, I32, I16, I8, U64, U32, U16, U8 or BOOL.</param>
/// <param name="Data">C order, little-endian.</param>
internal sealed record SafetensorsTensor(string Name, string Dtype, IReadOnlyList<long> Shape, ReadOnlyMemory<byte> Data);
