namespace QuantSdk.Planning;

/// <summary>What a layer does in its network, in the order in which levels quantise them.</summary>
internal enum LayerKind
{
    Convolution,
    FeedForward,
    AttentionInput,
    Linear,
}
