namespace QuantSdk.Onnx;

/// <summary>A model in memory with the files it came from. Tensor data is in raw_data, mapped where it was external.</summary>
internal sealed record OnnxModel(ModelProto Proto, string Path, IReadOnlyList<string> ExternalFiles)
{
    public GraphProto Graph => Proto.Graph;

    /// <summary>Version of the standard operator set.</summary>
    public long Opset => Proto.OpsetImport.FirstOrDefault(o => o.Domain is "" or "ai.onnx")?.Version ?? 1;

    /// <summary>What was rewritten since the file was read, for its quantisation's sake.</summary>
    public IReadOnlyList<Rewrite> Rewrites { get; init; } = [];

    /// <summary>Bytes on disk: the .onnx file and its external data.</summary>
    public long FileBytes => OnnxFile.Length(Path) + ExternalFiles.Sum(OnnxFile.Length);
}
