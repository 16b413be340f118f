namespace QuantSdk.Planning;

/// <summary>What a layer was predicted to cost, for the report.</summary>
/// <param name="Format">int8 or float: what it runs in.</param>
/// <param name="FloatMicroseconds">As the float kernel.</param>
/// <param name="Int8Microseconds">As the int8 kernel, with what has to be quantised, dequantised and moved because of it alone, its neighbours being as they are.</param>
internal sealed record LayerCost(string Node, string Module, string Shape, string Format, double FloatMicroseconds, double Int8Microseconds);
