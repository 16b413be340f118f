namespace QuantSdk.Planning;

/// <summary>Why a node with weights, or a product of activations, was left alone.</summary>
/// <param name="BuiltIn">True where one of the built-in exclusions did it.</param>
internal sealed record Kept(string Node, string Op, string Module, string Reason, bool BuiltIn);
