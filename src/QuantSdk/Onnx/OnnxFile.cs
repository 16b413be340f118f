using System.Buffers;
using System.Globalization;
using Google.Protobuf;
using QuantSdk.Runtime;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Onnx;

/// <summary>Reads and writes .onnx files. External data never leaves the model's folder, and no size is trusted before it is checked.</summary>
internal static class OnnxFile
{
    /// <summary>Protobuf's limit for one message.</summary>
    private const long MaxMessage = int.MaxValue;

    /// <exception cref="QuantSdkException">QSDK1001 (missing), QSDK1002 (not an ONNX model), QSDK1003 (external data).</exception>
    public static OnnxModel Load(string path) => Load(path, int.MaxValue, mapAll: true);

    /// <summary>
    /// The model with external tensors above <paramref name="threshold"/> bytes where they are: checked, not mapped, of any size.
    /// <see cref="Locate"/> says where their bytes lie. Smaller ones are in raw_data.
    /// </summary>
    /// <inheritdoc cref="Load(string)"/>
    public static OnnxModel LoadHeaders(string path, int threshold = 64 << 10) => Load(path, threshold, mapAll: false);

    private static OnnxModel Load(string path, int threshold, bool mapAll)
    {
        path = Path.GetFullPath(path);
        if (!File.Exists(path))
            throw new QuantSdkException("QSDK1001", $"The model '{path}' does not exist. Check the Include of the item, or run the step that downloads the model.", path);
        ModelProto proto;
        try
        {
            var length = Length(path);
            if (length > MaxMessage)
                throw new QuantSdkException("QSDK1002", $"'{path}' is {length} bytes; an .onnx file may not exceed 2 GiB. Save the model with external data.", path);
            proto = ModelProto.Parser.ParseFrom(new ReadOnlySequence<byte>(MappedFile.Map(path, 0, (int)length)));
        }
        catch (InvalidProtocolBufferException e)
        {
            throw new QuantSdkException("QSDK1002", $"'{path}' is not a whole ONNX model ({e.Message.TrimEnd('.')}). It may be truncated, or a pointer file of a large-file store: fetch it again.", path, inner: e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new QuantSdkException("QSDK1001", $"The model '{path}' cannot be opened: {e.Message}", path, inner: e);
        }
        if (proto.Graph is null || proto.Graph.Output.Count == 0 || proto.OpsetImport.Count == 0)
            throw new QuantSdkException("QSDK1002", $"'{path}' holds no ONNX graph with outputs. It may be truncated, or not an ONNX file.", path);
        var external = new SortedSet<string>(StringComparer.Ordinal);
        foreach (var tensor in AllTensors(proto.Graph))
            Resolve(tensor, path, external, mapAll, threshold);
        return new OnnxModel(proto, path, [.. external]);
    }

    /// <summary>Writes the model with every tensor above <paramref name="threshold"/> bytes in <paramref name="dataPath"/>, which is always written.</summary>
    /// <exception cref="QuantSdkException">QSDK3002 when what stays inline exceeds 2 GiB, QSDK1004 when the files cannot be written.</exception>
    public static void Save(ModelProto model, string path, string dataPath, int threshold = 1024)
    {
        model = model.Clone();
        try
        {
            using (var data = new ExternalDataWriter(dataPath))
            {
                foreach (var tensor in AllTensors(model.Graph))
                {
                    if (tensor.RawData.Length < threshold || tensor.DataType == (int)DataType.String)
                        continue;
                    data.Begin(tensor, tensor.RawData.Length);
                    data.Write(tensor.RawData.Span);
                    tensor.ClearRawData();
                }
            }
            SaveGraph(model, path);
        }
        catch (Exception e) when (FileSystemError.Is(e))
        {
            throw new QuantSdkException("QSDK1004", $"Cannot write '{path}': {FileSystemError.Reason(e)}", path, inner: e);
        }
    }

    /// <summary>Writes the .onnx file alone, with tensors as they are.</summary>
    /// <exception cref="QuantSdkException">QSDK3002.</exception>
    public static void SaveGraph(ModelProto model, string path)
    {
        // CalculateSize overflows silently beyond 2 GiB, so the parts that can be large are added up first.
        var inline = AllTensors(model.Graph).Sum(t => (long)t.RawData.Length + t.FloatData.Count * 4L + t.Int64Data.Count * 10L);
        if (inline > MaxMessage - (64 << 20))
            throw new QuantSdkException("QSDK3002", $"'{path}': {inline} bytes of tensors are too small to move to external data and exceed protobuf's 2 GiB.", path);
        using var stream = new FileStream(path, FileMode.Create, FileAccess.Write, FileShare.None, 1 << 16);
        using var output = new CodedOutputStream(stream, 1 << 16);
        model.WriteTo(output);
    }

    /// <summary>Bytes of a file; of what it points to where it is a link, unlike FileInfo's.</summary>
    public static long Length(string path)
    {
        using var handle = File.OpenHandle(path);
        return RandomAccess.GetLength(handle);
    }

    /// <summary>Every tensor of the graph and its subgraphs: initializers, sparse ones and tensor attributes.</summary>
    public static IEnumerable<TensorProto> AllTensors(GraphProto graph)
    {
        foreach (var tensor in graph.Initializer)
            yield return tensor;
        foreach (var sparse in graph.SparseInitializer)
        {
            yield return sparse.Values;
            yield return sparse.Indices;
        }
        foreach (var node in graph.Node)
        {
            foreach (var attribute in node.Attribute)
            {
                if (attribute.T is not null)
                    yield return attribute.T;
                foreach (var tensor in attribute.Tensors)
                    yield return tensor;
                if (attribute.G is not null)
                {
                    foreach (var tensor in AllTensors(attribute.G))
                        yield return tensor;
                }
                foreach (var subgraph in attribute.Graphs)
                {
                    foreach (var tensor in AllTensors(subgraph))
                        yield return tensor;
                }
            }
        }
    }

    private static void Resolve(TensorProto tensor, string modelPath, SortedSet<string> files, bool mapAll, int threshold)
    {
        if (tensor.Dims.Any(d => d < 0))
            throw new QuantSdkException("QSDK1002", $"'{modelPath}': the tensor '{tensor.Name}' has a negative dimension.", modelPath);
        if (tensor.DataLocation != DataLocation.External)
        {
            Tensors.MoveToRawData(tensor);
            if (tensor.HasRawData && tensor.RawData.Length != ElementType.Bytes(tensor.DataType, tensor.Count()))
                throw new QuantSdkException("QSDK1002", $"'{modelPath}': the tensor '{tensor.Name}' has {tensor.RawData.Length} bytes where its shape needs {ElementType.Bytes(tensor.DataType, tensor.Count())}.", modelPath);
            return;
        }
        var (file, offset, length) = Locate(tensor, modelPath);
        files.Add(file);
        if (!mapAll && length > threshold)
            return;
        if (length > int.MaxValue)
            throw External(modelPath, tensor.Name, $"has {length} bytes; one tensor may not exceed 2 GiB here");
        tensor.RawData = UnsafeByteOperations.UnsafeWrap(MappedFile.Map(file, offset, (int)length));
        tensor.ExternalData.Clear();
        tensor.ClearDataLocation();
    }

    /// <summary>Where the bytes of an external tensor lie; the file is in the model's folder and has them.</summary>
    /// <exception cref="QuantSdkException">QSDK1003.</exception>
    public static ExternalRange Locate(TensorProto tensor, string modelPath)
    {
        var entries = tensor.ExternalData.ToDictionary(e => e.Key, e => e.Value, StringComparer.Ordinal);
        var location = entries.GetValueOrDefault("location") ?? "";
        var file = Confine(modelPath, tensor.Name, location);
        var needed = ElementType.Bytes(tensor.DataType, tensor.Count());
        var offset = Number(entries, "offset", 0);
        var length = Number(entries, "length", needed);
        var size = Length(file);
        if (length != needed || offset < 0 || offset > size - length)
            throw External(modelPath, tensor.Name, $"points to bytes {offset} to {offset + length} of '{location}', which has {size} bytes; its shape needs {needed}");
        return new ExternalRange(file, offset, length);

        long Number(Dictionary<string, string> from, string key, long fallback) =>
            !from.TryGetValue(key, out var text) ? fallback
            : long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var value) ? value
            : throw External(modelPath, tensor.Name, $"has the {key} '{text}', which is not a number");
    }

    private static string Confine(string modelPath, string tensor, string location)
    {
        var folder = Path.GetDirectoryName(modelPath)!;
        var relative = location.StartsWith("./", StringComparison.Ordinal) ? location[2..] : location;
        var file = ConfinedPath.Resolve(folder, relative, out var refusal);
        // Model and data may both be links into one folder of a download cache: then that folder is the model's.
        if (file is null && ConfinedPath.FollowLinks(modelPath) is var realModel && realModel != modelPath
            && ConfinedPath.FollowLinks(Path.GetFullPath(Path.Combine(folder, relative))) is var real && Path.GetDirectoryName(real) == Path.GetDirectoryName(realModel))
            file = real;
        if (file is null)
            throw External(modelPath, tensor, $"points to '{location}', which may not be read: {refusal}");
        return File.Exists(file) ? file : throw External(modelPath, tensor, $"points to '{location}', which does not exist beside the model");
    }

    private static QuantSdkException External(string modelPath, string tensor, string what) =>
        new("QSDK1003", $"'{modelPath}': the external data of '{tensor}' {what}. Put the data file beside the model, or save the model again.", modelPath, tensor);
}
