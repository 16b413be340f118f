using System.Runtime.InteropServices;
using QuantSdk.Numerics;

namespace QuantSdk.Engines.Streaming;

/// <summary>Codes, scales and zero points of one weight as they go to the file. The memory is used again for the next.</summary>
internal sealed unsafe class WeightBuffer : IDisposable
{
    private byte* _codes;
    private nuint _capacity;
    private float[] _scales = [];
    private sbyte[] _zeroPoints = [];

    public long CodeBytes { get; private set; }

    public int Blocks { get; private set; }

    public bool HasZeroPoints { get; private set; }

    public int Bits { get; private set; }

    private ScaleType ScaleType { get; set; }

    /// <summary>One scale a block.</summary>
    public Span<float> Scales => _scales.AsSpan(0, Blocks);

    public Span<sbyte> ZeroPoints => HasZeroPoints ? _zeroPoints.AsSpan(0, Blocks) : [];

    public void Reset(StreamedWeight weight)
    {
        var elements = weight.Dims.Aggregate(1L, (a, b) => a * b);
        (Bits, Blocks, HasZeroPoints, ScaleType) = (weight.Format.Bits, weight.Geometry.Blocks, weight.Format.ZeroPoint, weight.Format.Scales);
        CodeBytes = ((elements * Bits) + 7) / 8;
        if ((nuint)CodeBytes > _capacity)
        {
            NativeMemory.Free(_codes);
            _codes = null;
            _capacity = (nuint)CodeBytes;
            _codes = (byte*)NativeMemory.Alloc(_capacity);
        }
        if (_scales.Length < Blocks)
            _scales = new float[Blocks];
        if (HasZeroPoints && _zeroPoints.Length < Blocks)
            _zeroPoints = new sbyte[Blocks];
    }

    /// <summary>Packed codes from a byte offset on.</summary>
    public Span<byte> Codes(long offset, int length) => offset >= 0 && offset + length <= CodeBytes ? new(_codes + offset, length) : throw new ArgumentOutOfRangeException(nameof(offset));

    /// <summary>Scales in the type they are stored in.</summary>
    public byte[] ScaleBytes()
    {
        switch (ScaleType)
        {
            case ScaleType.Half:
                return MemoryMarshal.AsBytes<Half>(Array.ConvertAll(Scales.ToArray(), s => (Half)s)).ToArray();
            case ScaleType.BFloat:
                return MemoryMarshal.AsBytes<ushort>(Array.ConvertAll(Scales.ToArray(), s => (ushort)(BitConverter.SingleToUInt32Bits(s) >> 16))).ToArray();
            default:
                return MemoryMarshal.AsBytes(Scales).ToArray();
        }
    }

    public byte[] ZeroPointBytes() => IntPacking.Pack(ZeroPoints, Bits);

    public void Dispose()
    {
        NativeMemory.Free(_codes);
        _codes = null;
        _capacity = 0;
    }
}
