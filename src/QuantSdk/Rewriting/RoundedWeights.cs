using QuantSdk.Numerics;

namespace QuantSdk.Rewriting;

/// <summary>Integer codes of a layer's weight (after smoothing), chosen for the least error at its output.</summary>
internal sealed record RoundedWeight(sbyte[] Codes, IntGrid Grid);

/// <summary>Codes by node; layers that are not here are rounded to nearest.</summary>
internal sealed record RoundedWeights(IReadOnlyDictionary<string, RoundedWeight> Layers)
{
    public static RoundedWeights None { get; } = new(new Dictionary<string, RoundedWeight>());
}
