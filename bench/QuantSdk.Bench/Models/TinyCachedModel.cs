using QuantSdk.Caching;
using QuantSdk.Onnx;
using QuantSdk.Runtime;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Bench;

/// <summary>A denoiser of two additions, one of them cached.</summary>
internal static class TinyCachedModel
{
    /// <summary>Writes the engine's folder and returns it.</summary>
    public static string Write(string folder)
    {
        var model = new ModelProto { IrVersion = 8, Graph = new GraphProto { Name = "tiny" } };
        model.OpsetImport.Add(new OperatorSetIdProto { Domain = "", Version = 17 });
        model.Graph.Input.Add([Value("sample", 1, 1), Value("timestep", 1)]);
        model.Graph.Output.Add(Value("y", 1, 1));
        model.Graph.Node.Add([Nodes.Create("Add", "deep", ["sample", "timestep"], ["deep"]), Nodes.Create("Mul", "shallow", ["sample", "timestep"], ["shallow"]), Nodes.Create("Add", "y", ["deep", "shallow"], ["y"])]);
        var path = Path.Combine(folder, "tiny.onnx");
        OnnxFile.Save(model, path, path + ".data");
        var request = new Engines.BuildRequest(
            "tiny", path, folder, Path.Combine(folder, "engine"), null, 1, new Dictionary<string, string> { ["Precision"] = "none", ["Cache"] = "tensor:deep", ["SampleInput"] = "sample", ["TimestepInput"] = "timestep" }, null);
        Engines.ModelBuilder.Build(request, new BuiltBlock.Silent(), CancellationToken.None);
        return request.Output;
    }

    private static ValueInfoProto Value(string name, params ReadOnlySpan<long> dims)
    {
        var shape = new TensorShapeProto();
        foreach (var dim in dims)
            shape.Dim.Add(new TensorShapeProto.Types.Dimension { DimValue = dim });
        return new ValueInfoProto { Name = name, Type = new TypeProto { TensorType = new TypeProto.Types.Tensor { ElemType = (int)DataType.Float, Shape = shape } } };
    }
}
