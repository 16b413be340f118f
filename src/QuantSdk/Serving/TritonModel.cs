namespace QuantSdk.Serving;

/// <summary>A model that was written to a repository.</summary>
/// <param name="Name">Its folder there.</param>
/// <param name="Platform">tensorrt_plan or onnxruntime_onnx.</param>
/// <param name="MaxBatchSize">0 where requests are not joined.</param>
/// <param name="Notes">What whoever starts the server should know.</param>
internal sealed record TritonModel(string Name, string Platform, int MaxBatchSize, IReadOnlyList<string> Notes);
