using System.Numerics.Tensors;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace QuantSdk.Numerics;

/// <summary>ONNX's packing of 4-bit and 2-bit elements: the first in the low bits of the first byte; the last byte is filled up with zeros.</summary>
internal static class IntPacking
{
    public static int Bytes(int count, int bits) => (int)((((long)count * bits) + 7) / 8);

    /// <param name="unsigned">Stores q + 2^(bits−1), the unsigned type's code.</param>
    public static byte[] Pack(ReadOnlySpan<sbyte> codes, int bits, bool unsigned = false)
    {
        var packed = new byte[Bytes(codes.Length, bits)];
        Pack(codes, bits, unsigned, packed);
        return packed;
    }

    /// <inheritdoc cref="Pack(ReadOnlySpan{sbyte}, int, bool)"/>
    public static void Pack(ReadOnlySpan<sbyte> codes, int bits, bool unsigned, Span<byte> packed)
    {
        var bytes = MemoryMarshal.AsBytes(codes);
        packed = packed[..Bytes(codes.Length, bits)];
        // Adding half the range to a two's complement code turns its highest bit over.
        var flip = (byte)(unsigned ? bits switch { 8 => 0x80, 4 => 0x88, _ => 0xAA } : 0);
        if (bits == 8)
        {
            TensorPrimitives.Xor(bytes, flip, packed);
            return;
        }
        ref var source = ref MemoryMarshal.GetReference(bytes);
        ref var target = ref MemoryMarshal.GetReference(packed);
        var each = 8 / bits;
        var (vector, i) = (Vector512.Create(flip), 0);
        for (; (i + 64) * each <= bytes.Length; i += 64)
        {
            var at = (nuint)(i * each);
            var v = bits == 4
                ? Vector512.Narrow(Nibbles(Vector512.LoadUnsafe(ref source, at)), Nibbles(Vector512.LoadUnsafe(ref source, at + 64)))
                : Vector512.Narrow(
                    Vector512.Narrow(Crumbs(Vector512.LoadUnsafe(ref source, at)), Crumbs(Vector512.LoadUnsafe(ref source, at + 64))),
                    Vector512.Narrow(Crumbs(Vector512.LoadUnsafe(ref source, at + 128)), Crumbs(Vector512.LoadUnsafe(ref source, at + 192))));
            (v ^ vector).StoreUnsafe(ref target, (nuint)i);
        }
        for (; i < packed.Length; i++)
        {
            var value = 0;
            for (var e = 0; e < each && (i * each) + e < bytes.Length; e++)
                value |= ((bytes[(i * each) + e] ^ flip) & ((1 << bits) - 1)) << (bits * e);
            packed[i] = (byte)value;
        }
    }

    public static sbyte[] Unpack(ReadOnlySpan<byte> packed, int bits, int count, bool unsigned = false)
    {
        var codes = new sbyte[count];
        var each = 8 / bits;
        for (var i = 0; i < count; i++)
        {
            var code = packed[i / each] >> (bits * (i % each));
            code = unsigned ? (code & ((1 << bits) - 1)) - (1 << (bits - 1)) : code << (32 - bits) >> (32 - bits);
            codes[i] = (sbyte)code;
        }
        return codes;
    }

    private static Vector512<ushort> Nibbles(Vector512<byte> codes)
    {
        var pairs = codes.AsUInt16();
        return (pairs & Vector512.Create((ushort)0x0F)) | (Vector512.ShiftRightLogical(pairs, 4) & Vector512.Create((ushort)0xF0));
    }

    private static Vector512<uint> Crumbs(Vector512<byte> codes)
    {
        var fours = codes.AsUInt32();
        return (fours & Vector512.Create(0x03u)) | (Vector512.ShiftRightLogical(fours, 6) & Vector512.Create(0x0Cu))
            | (Vector512.ShiftRightLogical(fours, 12) & Vector512.Create(0x30u)) | (Vector512.ShiftRightLogical(fours, 18) & Vector512.Create(0xC0u));
    }
}
