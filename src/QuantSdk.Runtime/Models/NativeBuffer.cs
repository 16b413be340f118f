using System.Runtime.InteropServices;

namespace QuantSdk.Runtime;

/// <summary>Native memory on a cache line's boundary, zeroed, of fixed size: what ONNX Runtime reads and writes in place.</summary>
internal sealed unsafe class NativeBuffer : SafeHandle
{
    private const nuint Alignment = 64;

    public NativeBuffer(long bytes)
        : base(0, ownsHandle: true)
    {
        Length = bytes;
        var size = (nuint)Math.Max(bytes, 1);
        SetHandle((nint)NativeMemory.AlignedAlloc(size, Alignment));
        NativeMemory.Clear((void*)handle, size);
    }

    public long Length { get; }

    public nint Address => handle;

    public override bool IsInvalid => handle == 0;

    public Span<T> AsSpan<T>()
        where T : unmanaged => new((void*)handle, (int)(Length / sizeof(T)));

    protected override bool ReleaseHandle()
    {
        NativeMemory.AlignedFree((void*)handle);
        return true;
    }
}
