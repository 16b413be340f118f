using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace QuantSdk.Numerics;

/// <summary>
/// A floating-point type of 8 bits or fewer (OCP 8-bit Floating Point Specification 1.0; OCP Microscaling Formats 1.0): sign, exponent,
/// mantissa, subnormals, no way to overflow. Encoding rounds half to even and saturates; NaN becomes the type's NaN, or its largest value
/// where it has none.
/// </summary>
internal sealed class SmallFloat
{
    /// <summary>Bits of the mantissa and bias of the exponent.</summary>
    private readonly int _mantissa, _bias;

    private readonly int _most, _nan, _signShift;
    private readonly float[] _values;

    private SmallFloat(int bits, int mantissa, int bias, byte most, byte nan)
    {
        (_mantissa, _bias, _most, _nan, _signShift) = (mantissa, bias, most, nan, 32 - bits);
        _values = new float[1 << bits];
        var sign = 1 << (bits - 1);
        for (var code = 0; code < _values.Length; code++)
        {
            var magnitude = code & (sign - 1);
            var (exponent, fraction) = (magnitude >> mantissa, magnitude & ((1 << mantissa) - 1));
            var value = exponent == 0
                ? MathF.ScaleB(fraction, 1 - bias - mantissa)
                : MathF.ScaleB(fraction + (1 << mantissa), exponent - bias - mantissa);
            // Codes above the largest value: E5M2 keeps IEEE's infinity and NaNs, E4M3 has one NaN.
            if (magnitude > most)
                value = magnitude == most + 1 && nan != most + 1 ? float.PositiveInfinity : float.NaN;
            _values[code] = (code & sign) != 0 ? -value : value;
        }
        Max = _values[most];
    }

    /// <summary>Largest 448, subnormals down to 2⁻⁹, no infinity (ONNX: FLOAT8E4M3FN).</summary>
    public static SmallFloat E4M3 { get; } = new(8, 3, 7, 0x7E, 0x7F);

    /// <summary>Largest 57344, subnormals down to 2⁻¹⁶ (ONNX: FLOAT8E5M2).</summary>
    public static SmallFloat E5M2 { get; } = new(8, 2, 15, 0x7B, 0x7F);

    /// <summary>0, ½, 1, 1½, 2, 3, 4, 6 with a sign in four bits (ONNX: FLOAT4E2M1).</summary>
    public static SmallFloat E2M1 { get; } = new(4, 1, 1, 0x7, 0x7);

    /// <summary>The largest finite value.</summary>
    public float Max { get; }

    /// <summary>The value of each code.</summary>
    public ReadOnlySpan<float> Values => _values;

    /// <summary>The scale with which ±<paramref name="amax"/> fills the type: amax / <see cref="Max"/>; never zero or subnormal.</summary>
    public float Scale(float amax) => amax > 0 ? Math.Max(amax / Max, Int8Weights.LeastScale) : 1;

    /// <summary>The code of the nearest value; of two equally near ones the even code's.</summary>
    public byte Encode(float value)
    {
        var bits = BitConverter.SingleToInt32Bits(value);
        var magnitude = bits & int.MaxValue;
        var sign = bits >>> _signShift & _values.Length >> 1;
        if (magnitude > 0x7F800000)
            return (byte)(sign | _nan);
        return (byte)(sign | Math.Min(_most, magnitude < LeastNormalBits ? Subnormal(magnitude) : Normal(magnitude)));
    }

    /// <summary>The codes of value / <paramref name="scale"/>, one a byte.</summary>
    public void Encode(ReadOnlySpan<float> values, float scale, Span<byte> codes)
    {
        ref var first = ref MemoryMarshal.GetReference(values);
        ref var target = ref MemoryMarshal.GetReference(codes[..values.Length]);
        var i = 0;
        for (; i <= values.Length - 16; i += 16)
        {
            var bits = (Vector512.LoadUnsafe(ref first, (nuint)i) / scale).AsInt32();
            var magnitude = bits & Vector512.Create(int.MaxValue);
            var normal = magnitude + Vector512.Create((1 << (22 - _mantissa)) - 1) + ((magnitude >>> (23 - _mantissa)) & Vector512<int>.One);
            normal = (normal >>> (23 - _mantissa)) - Vector512.Create((127 - _bias) << _mantissa);
            var subnormal = (magnitude.AsSingle() + Vector512.Create(Magic)).AsInt32() - Vector512.Create(BitConverter.SingleToInt32Bits(Magic));
            var code = Vector512.Min(Vector512.ConditionalSelect(Vector512.LessThan(magnitude, Vector512.Create(LeastNormalBits)), subnormal, normal), Vector512.Create(_most));
            code = Vector512.ConditionalSelect(Vector512.GreaterThan(magnitude, Vector512.Create(0x7F800000)), Vector512.Create(_nan), code);
            code |= (bits >>> _signShift) & Vector512.Create(_values.Length >> 1);
            var shorts = Vector256.Narrow(code.GetLower().AsUInt32(), code.GetUpper().AsUInt32());
            Vector128.Narrow(shorts.GetLower(), shorts.GetUpper()).StoreUnsafe(ref target, (nuint)i);
        }
        for (; i < values.Length; i++)
            codes[i] = Encode(values[i] / scale);
    }

    private int LeastNormalBits => (128 - _bias) << 23;

    /// <summary>The float whose last bit is worth the least subnormal: adding it rounds to subnormals, half to even.</summary>
    private float Magic => BitConverter.Int32BitsToSingle((127 + 24 - _bias - _mantissa) << 23);

    /// <summary>Rounds the mantissa in place; a carry moves into the exponent, as it should.</summary>
    private int Normal(int magnitude) =>
        ((magnitude + (1 << (22 - _mantissa)) - 1 + ((magnitude >> (23 - _mantissa)) & 1)) >> (23 - _mantissa)) - ((127 - _bias) << _mantissa);

    private int Subnormal(int magnitude) => BitConverter.SingleToInt32Bits(BitConverter.Int32BitsToSingle(magnitude) + Magic) - BitConverter.SingleToInt32Bits(Magic);
}
