namespace QuantSdk.Onnx.Upgrading;

/// <summary>A version of an operator at which its meaning or its form changed (not only the types it takes).</summary>
/// <param name="Version">The operator set that brought the change.</param>
/// <param name="Adapt">Rewrites a node of the version before.</param>
internal sealed record OpChange(string Op, long Version, Action<NodeUpgrade> Adapt);
