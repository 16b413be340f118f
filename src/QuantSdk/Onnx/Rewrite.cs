namespace QuantSdk.Onnx;

/// <summary>What was written differently so that it can be quantised better; it computes the same.</summary>
/// <param name="Kind">concat-split.</param>
/// <param name="Node">The node that was there.</param>
/// <param name="Module">Its module path.</param>
/// <param name="Offsets">concat-split: the input channel at which each part begins.</param>
/// <param name="Parts">The nodes that now do its work.</param>
internal sealed record Rewrite(string Kind, string Node, string Module, IReadOnlyList<long> Offsets, IReadOnlyList<string> Parts)
{
    /// <summary>Key of the metadata by which a part says what it is part of: patterns of a recipe name the nodes of the user's model.</summary>
    public const string PartOf = "quantsdk.part_of";
}
