namespace QuantSdk.Onnx.Upgrading;

/// <summary>
/// Softmax, LogSoftmax and Hardmax before 13 flatten their input to two dimensions at axis (default 1) and work along the second one;
/// from 13 on they work along axis (default −1) alone. The two are one where axis is the last dimension.
/// </summary>
internal static class SoftmaxAdapter
{
    public static void AxisIsNotFlattened(NodeUpgrade upgrade)
    {
        var node = upgrade.Node;
        var axis = node.Int("axis", 1);
        upgrade.Take("axis");
        node.With("axis", -1L);
        if (axis == -1 || (axis >= 0 && upgrade.RankOf(node.Input[0]) == axis + 1))
            return;
        if (axis < 0 && upgrade.RankOf(node.Input[0]) is { } rank)
            axis += rank;
        if (axis < 0)
            throw upgrade.Refusal($"its axis {axis} counts from the end of a tensor of unknown rank");
        var shape = upgrade.Insert("Shape", "shape", [node.Input[0]]);
        node.Input[0] = upgrade.Insert("Flatten", "flat", [node.Input[0]], n => n.With("axis", axis));
        upgrade.Append("Reshape", "rows", rows => [rows, shape]);
    }
}
