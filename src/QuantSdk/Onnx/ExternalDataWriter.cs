using System.Globalization;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Onnx;

/// <summary>A data file under way: tensors are appended and learn where they lie.</summary>
internal sealed class ExternalDataWriter(string path) : IDisposable
{
    private const int Alignment = 4096;

    private readonly FileStream _data = new(path, FileMode.Create, FileAccess.Write, FileShare.None, 1 << 20);

    /// <summary>Points <paramref name="tensor"/> to the bytes that are written next.</summary>
    public void Begin(TensorProto tensor, long length)
    {
        // Page alignment lets the runtime map large tensors; small ones only need their elements aligned.
        var alignment = length >= Alignment * 16 ? Alignment : 64;
        _data.Position = (_data.Position + alignment - 1) / alignment * alignment;
        Point(tensor, _data.Position, length);
    }

    /// <summary>Points <paramref name="tensor"/> to bytes that are written.</summary>
    public void Point(TensorProto tensor, long offset, long length)
    {
        tensor.ExternalData.Clear();
        tensor.ExternalData.Add(new StringStringEntryProto { Key = "location", Value = Path.GetFileName(_data.Name) });
        tensor.ExternalData.Add(new StringStringEntryProto { Key = "offset", Value = offset.ToString(CultureInfo.InvariantCulture) });
        tensor.ExternalData.Add(new StringStringEntryProto { Key = "length", Value = length.ToString(CultureInfo.InvariantCulture) });
        tensor.DataLocation = DataLocation.External;
    }

    /// <summary>Where the next byte goes.</summary>
    public long Position => _data.Position;

    public void Write(ReadOnlySpan<byte> bytes) => _data.Write(bytes);

    public void Dispose() => _data.Dispose();
}
