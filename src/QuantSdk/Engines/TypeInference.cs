using Microsoft.ML.OnnxRuntime;
using QuantSdk.Onnx;

namespace QuantSdk.Engines;

/// <summary>Element types and shapes of a model's tensors, as the model states them and ONNX Runtime infers them.</summary>
internal static class TypeInference
{
    /// <summary>Larger initializers are replaced by inputs of their type and shape: their values decide no shape, and need not be written.</summary>
    private const int LargestConstant = 4096;

    /// <summary>
    /// By tensor name. Inside bodies only what is stated there, and not a name that means different things in two of them; a tensor
    /// of unknown rank has no shape.
    /// </summary>
    public static IReadOnlyDictionary<string, TypeProto.Types.Tensor> Infer(ModelProto model)
    {
        var types = new Dictionary<string, TypeProto.Types.Tensor>(StringComparer.Ordinal);
        var ambiguous = new HashSet<string>(StringComparer.Ordinal);
        Collect(model.Graph);
        foreach (var name in ambiguous)
            types.Remove(name);
        foreach (var (name, metadata) in OfOutputs(model, model.Graph.Node.SelectMany(n => n.Output)) ?? [])
            types[name] = Of(metadata);
        return types;

        void Collect(GraphProto graph)
        {
            foreach (var value in graph.Input.Concat(graph.Output).Concat(graph.ValueInfo))
            {
                if (value.Type?.TensorType is { ElemType: > 0 } type && !types.TryAdd(value.Name, type) && !types[value.Name].Equals(type))
                    ambiguous.Add(value.Name);
            }
            foreach (var tensor in graph.Initializer)
                types.TryAdd(tensor.Name, Of(tensor.DataType, tensor.Dims));
            foreach (var body in graph.Node.SelectMany(n => n.Bodies()))
                Collect(body);
        }
    }

    /// <summary>
    /// What ONNX Runtime alone knows of some tensors while it optimises the model, with the names of dynamic dimensions: a graph that is given this much, and no
    /// more, is optimised alike. Null where it refuses the model.
    /// </summary>
    public static IReadOnlyDictionary<string, TypeProto.Types.Tensor>? AsOptimised(ModelProto model, IReadOnlyList<string> tensors)
    {
        return OfOutputs(model, tensors)?.ToDictionary(o => o.Key, o => Named(o.Value), StringComparer.Ordinal);

        static TypeProto.Types.Tensor Named(NodeMetadata metadata)
        {
            var type = Of(metadata);
            for (var axis = 0; axis < metadata.Dimensions.Length; axis++)
            {
                if (metadata.Dimensions[axis] < 0 && metadata.SymbolicDimensions[axis] is { Length: > 0 } name)
                    type.Shape.Dim[axis].DimParam = name;
            }
            return type;
        }
    }

    /// <summary>What a session says of its outputs, with some tensors of the graph made such; null where ONNX Runtime refuses the model.</summary>
    private static Dictionary<string, NodeMetadata>? OfOutputs(ModelProto model, IEnumerable<string> tensors)
    {
        var probe = new ModelProto(model);
        var graph = probe.Graph;
        var inputs = graph.Input.Select(i => i.Name).ToHashSet(StringComparer.Ordinal);
        foreach (var tensor in graph.Initializer.Where(t => t.RawData.Length > LargestConstant || t.DataLocation == TensorProto.Types.DataLocation.External).ToArray())
        {
            graph.Initializer.Remove(tensor);
            if (inputs.Add(tensor.Name))
                graph.Input.Add(new ValueInfoProto { Name = tensor.Name, Type = new TypeProto { TensorType = Of(tensor.DataType, tensor.Dims) } });
        }
        var outputs = graph.Output.Select(o => o.Name).ToHashSet(StringComparer.Ordinal);
        graph.Output.Add(tensors.Where(o => o.Length > 0 && outputs.Add(o)).Select(o => new ValueInfoProto { Name = o }));
        var folder = Directory.CreateTempSubdirectory("quantsdk-");
        try
        {
            var path = Path.Combine(folder.FullName, "model.onnx");
            OnnxFile.Save(probe, path, path + ".data");
            using var options = new SessionOptions { GraphOptimizationLevel = GraphOptimizationLevel.ORT_DISABLE_ALL, LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL };
            using var session = new InferenceSession(path, options);
            return session.OutputMetadata.Where(o => o.Value.IsTensor).ToDictionary(StringComparer.Ordinal);
        }
        catch (Exception e) when (e is OnnxRuntimeException or NotSupportedException)
        {
            return null;
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    private static TypeProto.Types.Tensor Of(NodeMetadata metadata)
    {
        var type = new TypeProto.Types.Tensor { ElemType = (int)metadata.ElementDataType };
        // No dimensions: a scalar, or a tensor of unknown rank. The two look alike here.
        if (metadata.Dimensions.Length > 0)
            type.Shape = Shape(metadata.Dimensions.Select(d => (long)d));
        return type;
    }

    private static TypeProto.Types.Tensor Of(int type, IEnumerable<long> dims) => new() { ElemType = type, Shape = Shape(dims) };

    /// <param name="dims">−1 where a size is not known.</param>
    private static TensorShapeProto Shape(IEnumerable<long> dims)
    {
        var shape = new TensorShapeProto();
        shape.Dim.Add(dims.Select(d => d < 0 ? new TensorShapeProto.Types.Dimension() : new TensorShapeProto.Types.Dimension { DimValue = d }));
        return shape;
    }
}
