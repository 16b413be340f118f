using QuantSdk.Onnx;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Tests.Onnx;

/// <summary>Small graphs made in code.</summary>
internal static class TestModels
{
    public static ModelProto Create(IEnumerable<ValueInfoProto> inputs, IEnumerable<string> outputs, IEnumerable<TensorProto> initializers, params NodeProto[] nodes)
    {
        var model = new ModelProto { IrVersion = 8, Graph = new GraphProto { Name = "test" } };
        model.OpsetImport.Add(new OperatorSetIdProto { Domain = "", Version = 17 });
        model.Graph.Input.Add(inputs);
        model.Graph.Output.Add(outputs.Select(o => new ValueInfoProto { Name = o }));
        model.Graph.Initializer.Add(initializers);
        model.Graph.Node.Add(nodes);
        return model;
    }

    /// <summary>An input; −1 is the dynamic batch.</summary>
    public static ValueInfoProto Input(string name, DataType type, params ReadOnlySpan<long> dims)
    {
        var shape = new TensorShapeProto();
        foreach (var dim in dims)
            shape.Dim.Add(dim < 0 ? new TensorShapeProto.Types.Dimension { DimParam = "batch" } : new TensorShapeProto.Types.Dimension { DimValue = dim });
        return new ValueInfoProto { Name = name, Type = new TypeProto { TensorType = new TypeProto.Types.Tensor { ElemType = (int)type, Shape = shape } } };
    }

    public static float[] Random(int count, int seed)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, count).Select(_ => (float)(random.NextDouble() * 2 - 1))];
    }

    /// <summary>Writes the model and opens it as the library does.</summary>
    public static OnnxModel Reload(ModelProto model, TempFolder folder, string name = "model.onnx")
    {
        OnnxFile.Save(model, folder[name], folder[name + ".data"]);
        return OnnxFile.Load(folder[name]);
    }
}
