using System.Runtime.ExceptionServices;
using QuantSdk.Onnx;
using QuantSdk.Runtime;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Engines.Streaming;

/// <summary>Writes a model whose weights are still where the float model has them: one tensor after another is read, encoded and appended.</summary>
internal sealed class StreamedModelWriter(TensorReader reader, int threads)
{
    /// <summary>Smaller tensors stay in the .onnx file.</summary>
    private const int ExternalThreshold = 1024;

    private const int CopyBytes = 8 << 20;

    private readonly WeightEncoder _encoder = new(threads);

    /// <param name="progress">Told the bytes of float weights read so far, and all of them.</param>
    /// <exception cref="QuantSdkException">QSDK1004 when the files cannot be written, QSDK3040 for a weight without a range.</exception>
    public void Write(WeightOnlyGraph graph, string path, string dataPath, Action<long, long>? progress, CancellationToken cancellation)
    {
        try
        {
            using (var data = new ExternalDataWriter(dataPath))
                WriteData(graph, data, progress, cancellation);
            OnnxFile.SaveGraph(graph.Model, path);
        }
        catch (Exception e) when (FileSystemError.Is(e))
        {
            throw new QuantSdkException("QSDK1004", $"Cannot write '{path}': {FileSystemError.Reason(e)}", path, inner: e);
        }
    }

    private void WriteData(WeightOnlyGraph graph, ExternalDataWriter data, Action<long, long>? progress, CancellationToken cancellation)
    {
        long done = 0, total = graph.Weights.Sum(w => Bytes(w.Weight.Source)) + OnnxFile.AllTensors(graph.Model.Graph).Where(t => t.DataLocation == DataLocation.External).Sum(Bytes);
        // The last weight is written while the next is encoded.
        using var one = new WeightBuffer();
        using var other = new WeightBuffer();
        var (current, next) = (one, other);
        Task? writing = null;
        try
        {
            foreach (var weight in graph.Weights)
            {
                _encoder.Encode(weight.Weight, reader.Open(weight.Weight.Source), next, cancellation);
                Finish(writing);
                (current, next) = (next, current);
                var encoded = current;
                writing = Task.Run(() => Append(data, weight, encoded), CancellationToken.None);
                progress?.Invoke(done += Bytes(weight.Weight.Source), total);
            }
        }
        finally
        {
            Finish(writing);
        }
        CopyRest(graph, data, ref done, total, progress, cancellation);
    }

    private static void Finish(Task? writing)
    {
        try
        {
            writing?.Wait();
        }
        catch (AggregateException e)
        {
            ExceptionDispatchInfo.Throw(e.InnerExceptions[0]);
        }
    }

    private static void Append(ExternalDataWriter data, LoweredWeight weight, WeightBuffer encoded)
    {
        if (encoded.CodeBytes < ExternalThreshold)
            weight.Codes.RawData = Google.Protobuf.ByteString.CopyFrom(encoded.Codes(0, (int)encoded.CodeBytes));
        else
        {
            data.Begin(weight.Codes, encoded.CodeBytes);
            for (long offset = 0; offset < encoded.CodeBytes; offset += CopyBytes)
                data.Write(encoded.Codes(offset, (int)Math.Min(CopyBytes, encoded.CodeBytes - offset)));
        }
        AppendSmall(data, weight.Scales, encoded.ScaleBytes());
        if (weight.ZeroPoints is not null)
            AppendSmall(data, weight.ZeroPoints, encoded.ZeroPointBytes());
    }

    private static void AppendSmall(ExternalDataWriter data, TensorProto tensor, byte[] bytes)
    {
        if (bytes.Length < ExternalThreshold)
        {
            tensor.RawData = Google.Protobuf.UnsafeByteOperations.UnsafeWrap(bytes);
            return;
        }
        data.Begin(tensor, bytes.Length);
        data.Write(bytes);
    }

    /// <summary>Everything that keeps its values. Tensors that share bytes go on sharing them.</summary>
    private void CopyRest(WeightOnlyGraph graph, ExternalDataWriter data, ref long done, long total, Action<long, long>? progress, CancellationToken cancellation)
    {
        var fresh = graph.Weights.SelectMany(w => (TensorProto?[])[w.Codes, w.Scales, w.ZeroPoints]).ToHashSet(ReferenceEqualityComparer.Instance);
        var written = new Dictionary<ExternalRange, long>();
        var buffer = Array.Empty<byte>();
        foreach (var tensor in OnnxFile.AllTensors(graph.Model.Graph))
        {
            if (fresh.Contains(tensor) || tensor.DataType == (int)DataType.String)
                continue;
            var source = reader.Open(tensor);
            var external = tensor.DataLocation == DataLocation.External;
            if (!external && source.Length < ExternalThreshold)
                continue;
            cancellation.ThrowIfCancellationRequested();
            if (source.Range is { } range && written.TryGetValue(range, out var offset))
                data.Point(tensor, offset, source.Length);
            else
            {
                if (buffer.Length == 0)
                    buffer = new byte[CopyBytes];
                data.Begin(tensor, source.Length);
                if (source.Range is { } first)
                    written[first] = data.Position;
                for (long at = 0; at < source.Length; at += CopyBytes)
                {
                    var piece = buffer.AsSpan(0, (int)Math.Min(CopyBytes, source.Length - at));
                    source.Read(at, piece);
                    data.Write(piece);
                    cancellation.ThrowIfCancellationRequested();
                }
                tensor.ClearRawData();
            }
            if (external)
                progress?.Invoke(done += source.Length, total);
        }
    }

    private static long Bytes(TensorProto tensor) => ElementType.Bytes(tensor.DataType, tensor.Count());
}
