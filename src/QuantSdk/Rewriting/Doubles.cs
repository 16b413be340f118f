using System.Runtime.InteropServices;
using Google.Protobuf;
using QuantSdk.Onnx;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Rewriting;

/// <summary>
/// 64-bit floats (tables of positions that an exporter left so) made 32-bit ones, which is what TensorRT computes them in: so the graph says
/// what is run, and what runs it elsewhere gives the same. Graphs that take or return them are left alone, as their callers are.
/// </summary>
internal static class Doubles
{
    public static void Narrow(GraphProto graph)
    {
        if (!graph.Input.Concat(graph.Output).Any(v => v.Type?.TensorType?.ElemType == (int)DataType.Double))
            NarrowInside(graph);
    }

    private static void NarrowInside(GraphProto graph)
    {
        foreach (var tensor in graph.Initializer)
            Narrow(tensor);
        foreach (var value in graph.Input.Concat(graph.Output).Concat(graph.ValueInfo).Where(v => v.Type?.TensorType?.ElemType == (int)DataType.Double))
            value.Type.TensorType.ElemType = (int)DataType.Float;
        foreach (var node in graph.Node)
        {
            foreach (var attribute in node.Attribute)
            {
                if (attribute.T is not null)
                    Narrow(attribute.T);
                if (attribute.Name is "to" or "dtype" or "output_dtype" && attribute.I == (long)DataType.Double)
                    attribute.I = (long)DataType.Float;
            }
            foreach (var body in node.Bodies())
                NarrowInside(body);
        }
    }

    private static void Narrow(TensorProto tensor)
    {
        if (tensor.DataType != (int)DataType.Double)
            return;
        Tensors.MoveToRawData(tensor);
        var values = tensor.ToFloats();
        tensor.DataType = (int)DataType.Float;
        tensor.RawData = UnsafeByteOperations.UnsafeWrap(MemoryMarshal.AsBytes(values.AsSpan()).ToArray());
    }
}
