using QuantSdk.Onnx;

namespace QuantSdk.Rewriting;

/// <summary>A piece of graph to be added to one that may have its names already: what it computes is in <paramref name="Output"/>.</summary>
/// <param name="Nodes">In topological order.</param>
/// <param name="Initializers">A graph that gets several fragments has constants of equal names and values once.</param>
internal sealed record Fragment(string Output, IReadOnlyList<NodeProto> Nodes, IReadOnlyList<TensorProto> Initializers);
