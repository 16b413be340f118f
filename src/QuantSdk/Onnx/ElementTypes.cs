using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Onnx;

/// <summary>
/// Element types of every tensor, followed from inputs and initializers through the nodes. Unlike ONNX Runtime's inference it does without
/// valid inputs, so that it reads graphs whose types do not fit, and knows the operators of TensorRT. A sequence counts as its elements.
/// </summary>
internal static class ElementTypes
{
    private const int Float = (int)DataType.Float;

    /// <summary>By tensor name, of the graph and the bodies in it; what cannot be told is left out.</summary>
    public static Dictionary<string, int> Of(ModelProto model)
    {
        var types = new Dictionary<string, int>(StringComparer.Ordinal);
        Walk(model.Graph, types);
        return types;
    }

    private static void Walk(GraphProto graph, Dictionary<string, int> types)
    {
        foreach (var tensor in graph.Initializer)
            types[tensor.Name] = tensor.DataType;
        foreach (var input in graph.Input)
        {
            if (TypeOf(input.Type) is > 0 and var type)
                types[input.Name] = type;
        }
        foreach (var node in graph.Node)
        {
            foreach (var body in node.Bodies())
            {
                // What a loop carries has the type it starts with, where the body does not say.
                for (var i = 0; node.OpType is "Loop" or "Scan" && i < body.Input.Count; i++)
                {
                    if (i < node.Input.Count && types.TryGetValue(node.Input[i], out var carried))
                        types.TryAdd(body.Input[i].Name, carried);
                }
                Walk(body, types);
            }
            for (var i = 0; i < node.Output.Count; i++)
            {
                if (node.Output[i].Length > 0 && OfOutput(node, i, types) is > 0 and var type)
                    types[node.Output[i]] = type;
            }
        }
    }

    private static int TypeOf(TypeProto? type) => type switch
    {
        { TensorType.ElemType: > 0 and var element } => element,
        { SequenceType.ElemType: { } inner } => TypeOf(inner),
        { OptionalType.ElemType: { } inner } => TypeOf(inner),
        _ => 0,
    };

    private static int OfOutput(NodeProto node, int output, Dictionary<string, int> types)
    {
        int Input(int i) => i < node.Input.Count ? types.GetValueOrDefault(node.Input[i]) : 0;
        int Stated(string attribute, int otherwise) => node.Int(attribute, 0) is > 0 and var type ? (int)type : otherwise;
        if (node.Domain is not ("" or "ai.onnx"))
            return OfTensorRt(node, output, Input);
        return node.OpType switch
        {
            "Cast" => Stated("to", 0),
            "CastLike" => Input(1),
            "Shape" or "Size" or "NonZero" or "ArgMax" or "ArgMin" or "NonMaxSuppression" or "SequenceLength" => (int)DataType.Int64,
            "Equal" or "Less" or "LessOrEqual" or "Greater" or "GreaterOrEqual" or "And" or "Or" or "Xor" or "Not" or "IsNaN" or "IsInf" or "SequenceEmptyEqual" or "OptionalHasElement" => (int)DataType.Bool,
            "Where" or "SequenceInsert" => Input(1),
            "OneHot" => Input(2),
            "QuantizeLinear" => Stated("output_dtype", Input(2) is > 0 and var zero ? zero : (int)DataType.Uint8),
            "DequantizeLinear" => Stated("output_dtype", Input(1)),
            "DynamicQuantizeLinear" => output == 1 ? Float : (int)DataType.Uint8,
            "ConvInteger" or "MatMulInteger" => (int)DataType.Int32,
            "QLinearConv" or "QLinearMatMul" => Input(7),
            "Constant" => OfConstant(node),
            "ConstantOfShape" => node.Attribute("value")?.T.DataType ?? Float,
            "RandomNormal" or "RandomUniform" or "HannWindow" or "HammingWindow" or "BlackmanWindow" => Stated("dtype", Stated("output_datatype", Float)),
            "RandomNormalLike" or "RandomUniformLike" or "Bernoulli" or "EyeLike" => Stated("dtype", Input(0)),
            "Multinomial" => Stated("dtype", (int)DataType.Int32),
            "MaxPool" or "TopK" when output > 0 => (int)DataType.Int64,
            "Unique" when output > 0 => (int)DataType.Int64,
            "Dropout" when output > 0 => (int)DataType.Bool,
            "LayerNormalization" when output > 0 => Stated("stash_type", Float),
            "If" => Body(node, "then_branch", output, types),
            "Loop" => Body(node, "body", output + 1, types),
            "Scan" => Body(node, "body", output, types),
            _ => Input(0) is > 0 and var type ? type : Input(1),
        };
    }

    /// <summary>TensorRT's own; of other domains the type of the first input is the best guess.</summary>
    private static int OfTensorRt(NodeProto node, int output, Func<int, int> input) => node.OpType switch
    {
        "TRT_FP4DynamicQuantize" => output == 0 ? (int)DataType.Float4E2M1 : (int)DataType.Float8E4M3Fn,
        "TRT_MXFP8DynamicQuantize" or "TRT_MXFP8QuantizeLinear" => output == 0 ? (int)DataType.Float8E4M3Fn : (int)DataType.Uint8,
        "TRT_MXFP8DequantizeLinear" => (int)node.Int("output_dtype", Float),
        "TRT_FP8QuantizeLinear" => (int)DataType.Float8E4M3Fn,
        "TRT_INT4QuantizeLinear" => (int)DataType.Int4,
        "TRT_FP8DequantizeLinear" or "TRT_INT4DequantizeLinear" or "TRT_BlockDequantize" => (int)node.Int("output_dtype", input(1)),
        _ => input(0),
    };

    private static int OfConstant(NodeProto node) => node.Attribute.FirstOrDefault() switch
    {
        { Name: "value", T: { } tensor } => tensor.DataType,
        { Name: "value_float" or "value_floats" } => Float,
        { Name: "value_int" or "value_ints" } => (int)DataType.Int64,
        { Name: "value_string" or "value_strings" } => (int)DataType.String,
        _ => 0,
    };

    private static int Body(NodeProto node, string attribute, int output, Dictionary<string, int> types) =>
        node.Attribute(attribute)?.G is { } body && output < body.Output.Count
            ? types.GetValueOrDefault(body.Output[output].Name, TypeOf(body.Output[output].Type))
            : 0;
}
