namespace QuantSdk.Engines.TensorRt.Rules;

/// <summary>What TensorRT wants of a graph, in one respect.</summary>
/// <param name="Name">Short, with hyphens; what findings are known by.</param>
/// <param name="Text">The rule, as a sentence.</param>
/// <param name="IsError">True where TensorRT refuses the graph or computes something else than ONNX says; false where it runs, and slower or less exactly than it could.</param>
/// <param name="Find">What of a graph (the model's or a body in it) breaks the rule.</param>
internal sealed record GraphRule(string Name, string Text, bool IsError, Func<CheckedGraph, IEnumerable<Breach>> Find);
