namespace QuantSdk.Interchange;

/// <summary>What quanto_qmap.json says of a module: quanto's names of its formats, or none.</summary>
internal sealed record QuantoModule(string Weights, string Activations);
