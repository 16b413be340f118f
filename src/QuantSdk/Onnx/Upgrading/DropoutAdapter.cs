namespace QuantSdk.Onnx.Upgrading;

/// <summary>Dropout's ratio became an input; without the training input it stays the identity.</summary>
internal static class DropoutAdapter
{
    public static void RatioInput(NodeUpgrade upgrade)
    {
        var node = upgrade.Node;
        // What a mask means where nothing is dropped was not specified before 12, and runtimes differ.
        if (upgrade.IsUsed(1))
            throw upgrade.Refusal("its mask is read");
        while (node.Output.Count > 1)
            node.Output.RemoveAt(1);
        if (upgrade.Take("ratio") is { } ratio)
            upgrade.SetInput(1, upgrade.Constant("ratio", name => Tensors.Scalar(name, ratio.F)));
    }
}
