using QuantSdk.Onnx;

namespace QuantSdk.Engines.TensorRt.Rules;

/// <summary>Where a graph breaks a rule.</summary>
/// <param name="Node">Null: the model as a whole.</param>
/// <param name="Tensor">The input or output that it is about, or null.</param>
/// <param name="Problem">What is there, with its value.</param>
/// <param name="Remedy">What to do.</param>
internal sealed record Breach(NodeProto? Node, string? Tensor, string Problem, string Remedy);
