namespace QuantSdk.Calibration;

/// <summary>An array as NumPy writes it: C order, little-endian.</summary>
/// <param name="Type">ONNX element type.</param>
/// <param name="Source">File and key, for messages.</param>
internal sealed record NpyArray(Onnx.TensorProto.Types.DataType Type, IReadOnlyList<long> Shape, ReadOnlyMemory<byte> Data, string Source)
{
    public long Rows => Shape.Count == 0 ? 1 : Shape[0];

    /// <summary>Bytes of one index of axis 0.</summary>
    public int RowBytes => Rows == 0 ? 0 : (int)(Data.Length / Rows);

    public override string ToString() => $"{Source} ({Onnx.ElementType.Name((int)Type)}[{string.Join(',', Shape)}])";
}
