namespace QuantSdk.Onnx;

/// <summary>The bytes of an external tensor.</summary>
/// <param name="File">Absolute path.</param>
internal readonly record struct ExternalRange(string File, long Offset, long Length);
