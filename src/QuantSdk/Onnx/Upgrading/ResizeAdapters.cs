using Google.Protobuf;
using static QuantSdk.Onnx.AttributeProto.Types;

namespace QuantSdk.Onnx.Upgrading;

/// <summary>Upsample, Resize and the other samplers of images.</summary>
internal static class ResizeAdapters
{
    public static void UpsampleInputs(NodeUpgrade upgrade)
    {
        var scales = upgrade.Take("scales")?.Floats.ToArray() ?? throw upgrade.Refusal("its attribute scales is missing");
        upgrade.SetInput(1, upgrade.Constant("scales", name => Tensors.Vector(name, scales)));
    }

    public static void UpsampleIsResize(NodeUpgrade upgrade) => upgrade.Node.OpType = "Resize";

    /// <summary>
    /// Before 11 coordinates were x_out / scale. The nearest pixel was, in the runtimes that had to agree with exporters, the one below
    /// where an axis grows and the one above where it shrinks; 11 has one rule for all axes, so one that may do both becomes two nodes.
    /// </summary>
    public static void Coordinates(NodeUpgrade upgrade)
    {
        var node = upgrade.Node;
        var scales = node.Input[1];
        // The input stays required until 13; its content is read only where coordinates are those of a crop.
        var roi = upgrade.Constant("roi", name => Tensors.Vector<float>(name));
        SetInputs(node.Input[0], scales);
        Set(node, "coordinate_transformation_mode", "asymmetric");
        if (Mode(node) != "nearest")
            return;
        var values = upgrade.ConstantOf(scales)?.ToFloats();
        if (values is null || (values.Any(s => s > 1) && values.Any(s => s < 1)))
        {
            var one = upgrade.Constant("unscaled", name => Tensors.Scalar(name, 1f));
            var grown = upgrade.Insert("Resize", "grown", [node.Input[0], roi, upgrade.Insert("Max", "growing", [scales, one])], n =>
            {
                Set(n, "mode", "nearest");
                Set(n, "coordinate_transformation_mode", "asymmetric");
                Set(n, "nearest_mode", "floor");
            });
            SetInputs(grown, upgrade.Insert("Min", "shrinking", [scales, one]));
            Set(node, "nearest_mode", "ceil");
            return;
        }
        Set(node, "nearest_mode", values.Any(s => s < 1) ? "ceil" : "floor");

        void SetInputs(string x, string by)
        {
            node.Input.Clear();
            node.Input.Add([x, roi, by]);
        }
    }

    /// <summary>(x + ½) / scale, gone in 13. Its floor is half_pixel's (x + ½) / scale − ½ rounded to the nearest, ties up.</summary>
    public static void NoHalfPixelOfTensorFlow(NodeUpgrade upgrade)
    {
        var node = upgrade.Node;
        if (Text(node, "coordinate_transformation_mode") != "tf_half_pixel_for_nn")
            return;
        if (Mode(node) != "nearest" || Text(node, "nearest_mode") != "floor")
            throw upgrade.Refusal("the coordinates 'tf_half_pixel_for_nn' are gone");
        Set(node, "coordinate_transformation_mode", "half_pixel");
        Set(node, "nearest_mode", "round_prefer_ceil");
    }

    public static void GridSampleModes(NodeUpgrade upgrade)
    {
        switch (Text(upgrade.Node, "mode"))
        {
            case "bilinear":
                Set(upgrade.Node, "mode", "linear");
                break;
            case "bicubic":
                Set(upgrade.Node, "mode", "cubic");
                break;
        }
    }

    /// <summary>Before 16 there was no shift by half a pixel.</summary>
    public static void RoiAlignCoordinates(NodeUpgrade upgrade)
    {
        if (upgrade.Node.Attribute("coordinate_transformation_mode") is null)
            Set(upgrade.Node, "coordinate_transformation_mode", "output_half_pixel");
    }

    private static string Mode(NodeProto node) => Text(node, "mode") ?? "nearest";

    private static string? Text(NodeProto node, string name) => node.Attribute(name)?.S.ToStringUtf8();

    private static void Set(NodeProto node, string name, string value)
    {
        if (node.Attribute(name) is { } before)
            node.Attribute.Remove(before);
        node.Attribute.Add(new AttributeProto { Name = name, Type = AttributeType.String, S = ByteString.CopyFromUtf8(value) });
    }
}
