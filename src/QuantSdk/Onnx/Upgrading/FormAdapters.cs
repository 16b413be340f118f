namespace QuantSdk.Onnx.Upgrading;

/// <summary>Attributes that became inputs, where that is more than one list.</summary>
internal static class FormAdapters
{
    public static void SliceInputs(NodeUpgrade upgrade)
    {
        upgrade.IntsToInput("starts", 1);
        upgrade.IntsToInput("ends", 2);
        upgrade.IntsToInput("axes", 3);
    }

    /// <summary>Equal parts are asked for by their number, which was that of the outputs.</summary>
    public static void SplitCount(NodeUpgrade upgrade)
    {
        if (upgrade.Node.Input.Count < 2 || upgrade.Node.Input[1].Length == 0)
            upgrade.Node.With("num_outputs", (long)upgrade.Node.Output.Count);
    }

    public static void PadInputs(NodeUpgrade upgrade)
    {
        upgrade.IntsToInput("pads", 1);
        if (upgrade.Take("value") is { F: not 0 } value)
            upgrade.SetInput(2, upgrade.ScalarLike(upgrade.Node.Input[0], "value", value.F));
    }

    public static void ClipInputs(NodeUpgrade upgrade)
    {
        if (upgrade.Take("min") is { } min)
            upgrade.SetInput(1, upgrade.ScalarLike(upgrade.Node.Input[0], "min", min.F));
        if (upgrade.Take("max") is { } max)
            upgrade.SetInput(2, upgrade.ScalarLike(upgrade.Node.Input[0], "max", max.F));
    }

    public static void TopKInput(NodeUpgrade upgrade) => upgrade.SetInput(1, upgrade.Constant("k", upgrade.Take("k")?.I ?? throw upgrade.Refusal("its attribute k is missing")));

    /// <summary>The default axis was 1, and is −2.</summary>
    public static void DftAxis(NodeUpgrade upgrade)
    {
        var axis = upgrade.Take("axis")?.I ?? 1;
        upgrade.SetInput(2, upgrade.Constant("axis", name => Tensors.Scalar(name, axis)));
    }
}
