namespace QuantSdk.Recipes;

/// <summary>Formats of weights and of what they are multiplied with.</summary>
internal readonly record struct FormatPair(string Weights, string Activations)
{
    public override string ToString() => $"{Weights}/{Activations}";
}
