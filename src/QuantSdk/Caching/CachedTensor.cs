namespace QuantSdk.Caching;

/// <summary>A tensor that a full step computes and the steps after it read.</summary>
/// <param name="Name">What the full model's output and the live part's input are called.</param>
/// <param name="Source">The tensor of the model that the live part goes on with.</param>
/// <param name="Base">
/// Null where the cached value is the source itself. Else it is the residual r = source − base of a range of blocks, and the live part goes
/// on with base + r, the base computed anew (Chen et al. 2024, "Δ-DiT", §3.2).
/// </param>
internal sealed record CachedTensor(string Name, string Source, string? Base = null)
{
    /// <summary>Name of the node, and of what it writes, through which live consumers read the source.</summary>
    public string Gate => Name + "_live";
}
