namespace QuantSdk.Serving;

/// <summary>An input or output as a model configuration has it.</summary>
/// <param name="Type">Such as TYPE_FP32.</param>
/// <param name="Dims">Never empty; without the batch where the model has one.</param>
/// <param name="Scalar">The model has no dimension where <paramref name="Dims"/> has one of 1.</param>
internal sealed record TritonTensor(string Name, string Type, IReadOnlyList<long> Dims, bool Scalar = false);
