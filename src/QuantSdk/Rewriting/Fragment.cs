using QuantSdk.Onnx;

namespace QuantSdk.Rewriting;

/// <summary>A piece of graph to be added: what it computes is in <paramref name="Output"/>.</summary>
/// <param name="Nodes">In topological order.</param>
/// <param name="Initializers">Constants of equal name are equal and are added to a graph once.</param>
internal sealed record Fragment(string Output, IReadOnlyList<NodeProto> Nodes, IReadOnlyList<TensorProto> Initializers);
