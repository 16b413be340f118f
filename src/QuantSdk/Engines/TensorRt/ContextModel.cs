using QuantSdk.Onnx;
using QuantSdk.Runtime;
using static QuantSdk.Onnx.AttributeProto.Types;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Engines.TensorRt;

/// <summary>
/// The ONNX model by which ONNX Runtime's TensorRT provider loads a plan: one node com.microsoft.EPContext that names the plan beside it, with the plan's inputs
/// and outputs. The provider takes a graph of exactly one node, whose source is absent or its own name (ONNX Runtime, EP-Context-Design; read in 1.29).
/// </summary>
internal static class ContextModel
{
    private const string Domain = "com.microsoft", Operator = "EPContext", Source = "TensorrtExecutionProvider";

    /// <summary>What a plan can have at its inputs and outputs and the operator's schema allows, which leaves out fp8 and int4.</summary>
    private static readonly DataType[] s_types =
        [DataType.Float, DataType.Float16, DataType.Bfloat16, DataType.Int64, DataType.Int32, DataType.Int8, DataType.Uint8, DataType.Bool];

    /// <summary>A wrapper with the inputs and outputs of the graph that was given to trtexec, the names of their dimensions kept.</summary>
    /// <inheritdoc cref="Create(IReadOnlyList{TensorInfo}, IReadOnlyList{TensorInfo}, TensorRtInfo, string, string?, GraphProto?)"/>
    public static ModelProto Create(GraphProto graph, TensorRtInfo info, string plan, string? onnx = null)
    {
        var initializers = graph.Initializer.Select(t => t.Name).ToHashSet(StringComparer.Ordinal);
        return Create([.. graph.Input.Where(i => !initializers.Contains(i.Name)).Select(Signature)], [.. graph.Output.Select(Signature)], info, plan, onnx);
    }

    /// <summary>A wrapper with given inputs and outputs. Dimensions of −1 keep their names, or become <c>free_dim_0</c>, <c>free_dim_1</c>, ….</summary>
    /// <param name="info">What the plan was built by and for.</param>
    /// <param name="plan">The plan's file name; the wrapper lies in the same folder.</param>
    /// <param name="onnx">The file name of the model whose weights a plan without weights is completed with; null for a plan that has its own.</param>
    /// <param name="graph">What was given to trtexec, for the names of dimensions: equal names tell that a batch is one everywhere. Null: none is known.</param>
    /// <exception cref="QuantSdkException">QSDK4070: a tensor of a type that plans cannot have at their ends.</exception>
    /// <exception cref="ArgumentException">A path, or a name with "..", which the provider refuses anywhere in it.</exception>
    public static ModelProto Create(IReadOnlyList<TensorInfo> inputs, IReadOnlyList<TensorInfo> outputs, TensorRtInfo info, string plan, string? onnx = null, GraphProto? graph = null)
    {
        var free = 0;
        var known = (graph is null ? [] : graph.Input.Concat(graph.Output)).GroupBy(v => v.Name, StringComparer.Ordinal).ToDictionary(g => g.Key, g => g.First().Type.TensorType.Shape?.Dim, StringComparer.Ordinal);
        return Create([.. inputs.Select(Value)], [.. outputs.Select(Value)], info, plan, onnx);

        ValueInfoProto Value(TensorInfo tensor)
        {
            var shape = new TensorShapeProto();
            for (var i = 0; i < tensor.Shape.Count; i++)
            {
                var name = known.GetValueOrDefault(tensor.Name)?.ElementAtOrDefault(i)?.DimParam;
                shape.Dim.Add(tensor.Shape[i] >= 0 ? new TensorShapeProto.Types.Dimension { DimValue = tensor.Shape[i] }
                    : new TensorShapeProto.Types.Dimension { DimParam = string.IsNullOrEmpty(name) ? $"free_dim_{free++}" : name });
            }
            var type = Array.Find(s_types, t => ElementType.Name((int)t) == tensor.Type);
            if (type == DataType.Undefined)
                throw NoEnd(tensor.Name, tensor.Type);
            return new ValueInfoProto { Name = tensor.Name, Type = new TypeProto { TensorType = new TypeProto.Types.Tensor { ElemType = (int)type, Shape = shape } } };
        }
    }

    private static ModelProto Create(ValueInfoProto[] inputs, ValueInfoProto[] outputs, TensorRtInfo info, string plan, string? onnx)
    {
        foreach (var tensor in inputs.Concat(outputs))
            if (!s_types.Contains((DataType)tensor.Type.TensorType.ElemType))
                throw NoEnd(tensor.Name, ElementType.Name(tensor.Type.TensorType.ElemType));
        CheckName(plan);
        var node = Nodes.Create(Operator, Operator, inputs.Select(i => i.Name), outputs.Select(o => o.Name), Domain)
            .With("main_context", 1)
            .With("embed_mode", 0);
        Text("ep_cache_context", plan);
        Text("source", Source);
        Text("hardware_architecture", Architecture(info));
        Text("ep_sdk_version", info.Version);
        Text("partition_name", Path.GetFileNameWithoutExtension(plan));
        if (onnx is not null)
        {
            CheckName(onnx);
            Text("onnx_model_filename", onnx);
        }
        var graph = new GraphProto { Name = "tensorrt" };
        graph.Node.Add(node);
        graph.Input.Add(inputs);
        graph.Output.Add(outputs);
        var model = new ModelProto { IrVersion = 10, ProducerName = "QuantSdk", Graph = graph };
        model.OpsetImport.Add(new OperatorSetIdProto { Domain = "", Version = 21 });
        model.OpsetImport.Add(new OperatorSetIdProto { Domain = Domain, Version = 1 });
        return model;

        void Text(string attribute, string value) =>
            node.Attribute.Add(new AttributeProto { Name = attribute, Type = AttributeType.String, S = Google.Protobuf.ByteString.CopyFromUtf8(value) });
    }

    /// <summary>As ONNX Runtime writes it: "90" for compute capability 9.0, "80+" for engines that run on Ampere and everything newer.</summary>
    private static string Architecture(TensorRtInfo info) => info.HardwareCompatibility == "ampere+" ? "80+" : info.ComputeCapability.Replace(".", "", StringComparison.Ordinal);

    private static ValueInfoProto Signature(ValueInfoProto value) => new() { Name = value.Name, Type = value.Type.Clone() };

    private static QuantSdkException NoEnd(string tensor, string type) =>
        new("QSDK4070", $"'{tensor}' is {type}; the inputs and outputs of a TensorRT engine are {string.Join(", ", s_types.Select(t => ElementType.Name((int)t)))}. Cast it inside the model.");

    private static void CheckName(string file)
    {
        if (file.Length == 0 || file.AsSpan().IndexOfAny("/\\:") >= 0 || file.Contains("..", StringComparison.Ordinal))
            throw new ArgumentException($"'{file}' is no file name that a wrapper may hold.", nameof(file));
    }
}
