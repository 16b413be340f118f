using System.Buffers;
using System.Collections.Concurrent;
using System.Numerics.Tensors;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;
using QuantSdk.Onnx;
using QuantSdk.Runtime;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Engines.Streaming;

/// <summary>Reads pieces of tensors, wherever their bytes lie, into buffers of the caller: nothing is mapped and nothing kept.</summary>
internal sealed class TensorReader(string modelPath) : IDisposable
{
    private readonly ConcurrentDictionary<string, SafeFileHandle> _files = new(StringComparer.Ordinal);

    /// <summary>Finds a tensor's bytes; its pieces can then be read from several threads.</summary>
    public TensorBytes Open(TensorProto tensor)
    {
        if (tensor.DataLocation != DataLocation.External)
            return new TensorBytes(tensor, null, default);
        var range = OnnxFile.Locate(tensor, modelPath);
        return new TensorBytes(tensor, _files.GetOrAdd(range.File, f => File.OpenHandle(f, options: FileOptions.SequentialScan)), range);
    }

    public void Dispose()
    {
        foreach (var file in _files.Values)
            file.Dispose();
    }
}

/// <summary>The bytes of one tensor.</summary>
internal sealed class TensorBytes(TensorProto tensor, SafeFileHandle? file, ExternalRange range)
{
    public long Length => file is null ? tensor.RawData.Length : range.Length;

    /// <summary>Where the bytes lie; tensors of one range are one. Null inside the .onnx file.</summary>
    public ExternalRange? Range => file is null ? null : range;

    /// <summary>Fills <paramref name="values"/> from the element <paramref name="first"/> on; fp16 and bf16 are converted.</summary>
    public void ReadFloats(long first, Span<float> values)
    {
        if ((DataType)tensor.DataType == DataType.Float)
        {
            Read(first * sizeof(float), MemoryMarshal.AsBytes(values));
            return;
        }
        var halves = ArrayPool<ushort>.Shared.Rent(values.Length);
        var read = halves.AsSpan(0, values.Length);
        Read(first * sizeof(ushort), MemoryMarshal.AsBytes(read));
        switch ((DataType)tensor.DataType)
        {
            case DataType.Float16:
                TensorPrimitives.ConvertToSingle(MemoryMarshal.Cast<ushort, Half>(read), values);
                break;
            case DataType.Bfloat16:
                for (var i = 0; i < read.Length; i++)
                    values[i] = BitConverter.UInt32BitsToSingle((uint)read[i] << 16);
                break;
            default:
                throw new InvalidOperationException($"'{tensor.Name}' holds {ElementType.Name(tensor.DataType)}.");
        }
        ArrayPool<ushort>.Shared.Return(halves);
    }

    /// <exception cref="QuantSdkException">QSDK1003 where the file has become shorter or cannot be read.</exception>
    public void Read(long offset, Span<byte> bytes)
    {
        if (file is null)
        {
            tensor.RawData.Span.Slice((int)offset, bytes.Length).CopyTo(bytes);
            return;
        }
        try
        {
            for (var done = 0; done < bytes.Length;)
            {
                var count = RandomAccess.Read(file, bytes[done..], range.Offset + offset + done);
                if (count == 0)
                    throw new EndOfStreamException($"it ends at byte {range.Offset + offset + done}");
                done += count;
            }
        }
        catch (IOException e)
        {
            throw new QuantSdkException("QSDK1003", $"The external data of '{tensor.Name}' cannot be read from '{range.File}': {e.Message}.", range.File, tensor.Name, e);
        }
    }
}
