namespace QuantSdk.Onnx.Upgrading;

/// <summary>Batch and group normalisation.</summary>
internal static class NormalizationAdapters
{
    /// <summary>
    /// spatial=0 had one mean, variance, scale and bias for each position, of shape [C, D1, …]: (x − μ) · (γ / √(σ² + ε)) + β by
    /// broadcasting. spatial=1 is what is left.
    /// </summary>
    public static void NoSpatial(NodeUpgrade upgrade)
    {
        var node = upgrade.Node;
        if (upgrade.Take("spatial") is not { I: 0 })
            return;
        NoSavedStatistics(upgrade);
        var (x, gamma, beta, mean, variance) = (node.Input[0], node.Input[1], node.Input[2], node.Input[3], node.Input[4]);
        var epsilon = upgrade.ScalarLike(x, "epsilon", node.Float("epsilon", 1e-5f));
        var deviation = upgrade.Insert("Sqrt", "deviation", [upgrade.Insert("Add", "variance", [variance, epsilon])]);
        var factor = upgrade.Insert("Div", "factor", [gamma, deviation]);
        var scaled = upgrade.Insert("Mul", "scaled", [upgrade.Insert("Sub", "centred", [x, mean]), factor]);
        node.OpType = "Add";
        node.Attribute.Clear();
        node.Input.Clear();
        node.Input.Add([scaled, beta]);
    }

    /// <summary>Four more outputs meant training; two do now, with another attribute.</summary>
    public static void NoSavedStatistics(NodeUpgrade upgrade)
    {
        for (var i = 1; i < upgrade.Node.Output.Count; i++)
        {
            if (upgrade.IsUsed(i))
                throw upgrade.Refusal("the statistics that it computes while training are read");
        }
        while (upgrade.Node.Output.Count > 1)
            upgrade.Node.Output.RemoveAt(1);
    }

    /// <summary>Scale and bias had one number a group, and have one a channel: each is repeated C / groups times.</summary>
    public static void ScalePerChannel(NodeUpgrade upgrade)
    {
        var node = upgrade.Node;
        var groups = node.Int("num_groups", 1);
        string repeats;
        if (upgrade.TypeOf(node.Input[0])?.Shape is { Dim.Count: > 1 } shape && shape.Dim[1].DimValue > 0)
        {
            repeats = upgrade.Constant("repeats", 1, shape.Dim[1].DimValue / groups);
        }
        else
        {
            var channels = upgrade.Insert("Gather", "channels", [upgrade.Insert("Shape", "shape", [node.Input[0]]), upgrade.Constant("one", 1)], n => n.With("axis", 0L));
            var each = upgrade.Insert("Div", "each", [channels, upgrade.Constant("groups", groups)]);
            repeats = upgrade.Insert("Concat", "repeats", [upgrade.Constant("row", 1), each], n => n.With("axis", 0L));
        }
        var column = upgrade.Constant("column", groups, 1);
        var flat = upgrade.Constant("flat", -1);
        for (var i = 1; i <= 2; i++)
        {
            var hint = i == 1 ? "scale" : "bias";
            var rows = upgrade.Insert("Reshape", hint + "_rows", [node.Input[i], column]);
            node.Input[i] = upgrade.Insert("Reshape", hint, [upgrade.Insert("Expand", hint + "_repeated", [rows, repeats]), flat]);
        }
    }
}
