namespace QuantSdk.Numerics;

/// <summary>Two 4-bit codes a byte, the first in the low nibble: ONNX's order.</summary>
internal static class Nibbles
{
    public static byte[] Pack(ReadOnlySpan<byte> codes)
    {
        var packed = new byte[(codes.Length + 1) / 2];
        for (var i = 0; i < codes.Length / 2; i++)
            packed[i] = (byte)(codes[2 * i] | codes[2 * i + 1] << 4);
        if (codes.Length % 2 == 1)
            packed[^1] = codes[^1];
        return packed;
    }

    public static byte[] Unpack(ReadOnlySpan<byte> packed, int count)
    {
        var codes = new byte[count];
        for (var i = 0; i < count; i++)
            codes[i] = (byte)(packed[i / 2] >> 4 * (i % 2) & 15);
        return codes;
    }
}
