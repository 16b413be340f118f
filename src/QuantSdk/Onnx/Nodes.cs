using Google.Protobuf;
using static QuantSdk.Onnx.AttributeProto.Types;

namespace QuantSdk.Onnx;

/// <summary>Reading and making <see cref="NodeProto"/>s.</summary>
internal static class Nodes
{
    public static NodeProto Create(string opType, string name, IEnumerable<string> inputs, IEnumerable<string> outputs, string domain = "")
    {
        var node = new NodeProto { OpType = opType, Name = name };
        if (domain.Length > 0)
            node.Domain = domain;
        node.Input.Add(inputs);
        node.Output.Add(outputs);
        return node;
    }

    public static NodeProto With(this NodeProto node, string attribute, long value)
    {
        node.Attribute.Add(new AttributeProto { Name = attribute, Type = AttributeType.Int, I = value });
        return node;
    }

    public static NodeProto With(this NodeProto node, string attribute, float value)
    {
        node.Attribute.Add(new AttributeProto { Name = attribute, Type = AttributeType.Float, F = value });
        return node;
    }

    public static NodeProto With(this NodeProto node, string attribute, params ReadOnlySpan<long> values)
    {
        var proto = new AttributeProto { Name = attribute, Type = AttributeType.Ints };
        foreach (var value in values)
            proto.Ints.Add(value);
        node.Attribute.Add(proto);
        return node;
    }

    public static AttributeProto? Attribute(this NodeProto node, string name)
    {
        foreach (var attribute in node.Attribute)
        {
            if (attribute.Name == name)
                return attribute;
        }
        return null;
    }

    public static long Int(this NodeProto node, string name, long fallback) => node.Attribute(name) is { } a ? a.I : fallback;

    public static float Float(this NodeProto node, string name, float fallback) => node.Attribute(name) is { } a ? a.F : fallback;

    /// <summary>True for an operator of the standard domain.</summary>
    public static bool Is(this NodeProto node, string opType) => node.OpType == opType && node.Domain is "" or "ai.onnx";

    /// <summary>How a person finds the node: its name, or its first output where it has none.</summary>
    public static string Label(this NodeProto node) => node.Name.Length > 0 ? node.Name : node.Output.FirstOrDefault() ?? node.OpType;

    /// <summary>The graphs inside the node: branches of If, bodies of Loop and Scan.</summary>
    public static IEnumerable<GraphProto> Bodies(this NodeProto node)
    {
        foreach (var attribute in node.Attribute)
        {
            if (attribute.G is not null)
                yield return attribute.G;
            foreach (var graph in attribute.Graphs)
                yield return graph;
        }
    }

    public static bool HasSubgraph(this NodeProto node) => node.Bodies().Any();
}
