using System.Buffers;
using System.IO.MemoryMappedFiles;

namespace QuantSdk.Onnx;

/// <summary>A read-only file as memory: pages are read when touched and can be dropped again, so weights are mapped, not loaded.</summary>
internal sealed unsafe class MappedFile : MemoryManager<byte>
{
    private readonly MemoryMappedFile _file;
    private readonly MemoryMappedViewAccessor _view;
    private readonly long _offset;
    private readonly int _length;
    private byte* _pointer;

    private MappedFile(string path, long offset, int length)
    {
        _file = MemoryMappedFile.CreateFromFile(path, FileMode.Open, null, 0, MemoryMappedFileAccess.Read);
        _view = _file.CreateViewAccessor(offset, length, MemoryMappedFileAccess.Read);
        _view.SafeMemoryMappedViewHandle.AcquirePointer(ref _pointer);
        _offset = _view.PointerOffset;
        _length = length;
    }

    /// <summary>Maps <paramref name="length"/> bytes at <paramref name="offset"/>. The mapping ends with the process: spans over it may outlive every object that knows it.</summary>
    public static ReadOnlyMemory<byte> Map(string path, long offset, int length) =>
        length == 0 ? ReadOnlyMemory<byte>.Empty : new MappedFile(path, offset, length).Memory;

    public override Span<byte> GetSpan() => new(_pointer + _offset, _length);

    public override MemoryHandle Pin(int elementIndex = 0) => new(_pointer + _offset + elementIndex, pinnable: this);

    public override void Unpin()
    {
    }

    protected override void Dispose(bool disposing)
    {
        if (_pointer == null)
            return;
        _view.SafeMemoryMappedViewHandle.ReleasePointer();
        _pointer = null;
        _view.Dispose();
        _file.Dispose();
    }
}
