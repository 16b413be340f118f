using QuantSdk.Onnx;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Tests.Engines.TensorRt;

/// <summary>Graphs that only have the shape of models: what trtexec is told depends on inputs and on the types of Q/DQ nodes.</summary>
internal static class TrtModels
{
    /// <summary>sample[batch,4,64,64] and timestep[1], quantised, with a node conv_in.</summary>
    public static ModelProto Small(DataType quantised = DataType.Int8) => Model([("sample", DataType.Float, ["batch", 4, 64, 64]), ("timestep", DataType.Int64, [1])], quantised);

    public static ModelProto Static() => Model([("sample", DataType.Float, [1, 4, 64, 64])]);

    /// <summary>The inputs of Stable Diffusion XL's UNet as it is exported.</summary>
    public static ModelProto Sdxl() => Model(
    [
        ("sample", DataType.Float, ["batch", 4, "height", "width"]), ("timestep", DataType.Float, [1]), ("encoder_hidden_states", DataType.Float, ["batch", "sequence", 2048]),
        ("text_embeds", DataType.Float, ["batch", 1280]), ("time_ids", DataType.Float, ["batch", 6]),
    ]);

    /// <summary>A decoder with two layers of keys and values.</summary>
    public static ModelProto Llm() => Model(
    [
        ("input_ids", DataType.Int64, ["batch", "sequence"]), ("attention_mask", DataType.Int64, ["batch", "total"]), ("position_ids", DataType.Int64, ["batch", "sequence"]),
        .. Enumerable.Range(0, 2).SelectMany(i => ((string, DataType, object[])[])[($"past_key_values.{i}.key", DataType.Float, ["batch", 8, "past", 128]), ($"past_key_values.{i}.value", DataType.Float, ["batch", 8, "past", 128])]),
    ], DataType.Int4);

    public static ModelProto Model((string Name, DataType Type, object[] Dims)[] inputs, DataType quantised = DataType.Int8)
    {
        var graph = new GraphProto { Name = "g" };
        foreach (var (name, type, dims) in inputs)
        {
            var shape = new TensorShapeProto();
            foreach (var dim in dims)
                shape.Dim.Add(dim is string symbol ? new TensorShapeProto.Types.Dimension { DimParam = symbol } : new TensorShapeProto.Types.Dimension { DimValue = (int)dim });
            graph.Input.Add(new ValueInfoProto { Name = name, Type = new TypeProto { TensorType = new TypeProto.Types.Tensor { ElemType = (int)type, Shape = shape } } });
        }
        graph.Initializer.Add(new TensorProto { Name = "scale", DataType = (int)DataType.Float, FloatData = { 0.5f } });
        graph.Initializer.Add(new TensorProto { Name = "zero", DataType = (int)quantised, Int32Data = { 0 } });
        var first = inputs[0].Name;
        graph.Node.Add(Nodes.Create("QuantizeLinear", "q", [first, "scale", "zero"], ["quantised"]));
        graph.Node.Add(Nodes.Create("DequantizeLinear", "dq", ["quantised", "scale", "zero"], ["dequantised"]));
        graph.Node.Add(Nodes.Create("Relu", "conv_in", ["dequantised"], ["out"]));
        graph.Output.Add(new ValueInfoProto { Name = "out", Type = graph.Input[0].Type.Clone() });
        return new ModelProto { IrVersion = 9, Graph = graph, OpsetImport = { new OperatorSetIdProto { Version = 19 } } };
    }
}
