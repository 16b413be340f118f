namespace QuantSdk.Planning;

/// <summary>Why a node with weights, or a product of activations, was left alone.</summary>
/// <param name="BuiltIn">True where one of the built-in exclusions did it.</param>
/// <param name="Macs">Multiply-adds for one row of the calibration data, where they are known: of layers that were calibrated and then left alone.</param>
internal sealed record Kept(string Node, string Op, string Module, string Reason, bool BuiltIn, long Macs = 0);
