using System.Numerics.Tensors;
using System.Runtime.InteropServices;
using Google.Protobuf;
using QuantSdk.Engines;
using QuantSdk.Onnx;
using QuantSdk.Runtime;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Rewriting;

/// <summary>
/// A model in float16 or bfloat16, or partly so → the same function in 32-bit floats: weights widened (exactly), casts retargeted. It is
/// what ranges and errors are measured on, and the only way to run bfloat16 on ONNX Runtime's CPU. Inputs and outputs of float16 keep
/// their type behind a Cast; those of bfloat16, which neither .npy files nor .NET know, become float.
/// </summary>
internal static class Float32Twin
{
    private const int Float = (int)DataType.Float;

    /// <summary>Attributes whose number is an element type.</summary>
    private static readonly HashSet<string> TypeAttributes = ["to", "dtype", "output_dtype", "output_datatype", "stash_type", "softmax_precision"];

    /// <summary>The twin; the model itself where it has no 16-bit floats.</summary>
    /// <exception cref="QuantSdkException">QSDK3010 for a tensor beyond 2 GiB in 32 bits.</exception>
    public static OnnxModel Of(OnnxModel model)
    {
        if (!HasHalves(model.Proto))
            return model;
        var proto = model.Proto.Clone();
        var (inputs, outputs) = (Ports(proto.Graph.Input), Ports(proto.Graph.Output));
        Widen(proto.Graph, model.Path);
        foreach (var function in proto.Functions)
        {
            foreach (var node in function.Node)
                Widen(node, model.Path);
            foreach (var value in function.ValueInfo)
                Widen(value.Type);
        }
        DropIdleCasts(proto);
        KeepPorts(proto.Graph, inputs, outputs);
        return model with { Proto = proto };
    }

    private static bool IsHalf(int type) => (DataType)type is DataType.Float16 or DataType.Bfloat16;

    private static bool HasHalves(ModelProto proto) =>
        HasHalves(proto.Graph) || proto.Functions.SelectMany(f => f.Node).Any(HasHalves);

    private static bool HasHalves(GraphProto graph) =>
        OnnxFile.AllTensors(graph).Any(t => IsHalf(t.DataType)) || graph.Input.Concat(graph.Output).Any(v => HasHalves(v.Type)) || graph.Node.Any(HasHalves);

    private static bool HasHalves(NodeProto node) =>
        node.Attribute.Any(a => TypeAttributes.Contains(a.Name) && IsHalf((int)a.I)) || node.Bodies().Any(HasHalves);

    private static bool HasHalves(TypeProto? type) =>
        type is not null && (IsHalf(type.TensorType?.ElemType ?? 0) || HasHalves(type.SequenceType?.ElemType) || HasHalves(type.OptionalType?.ElemType));

    private static HashSet<string> Ports(IEnumerable<ValueInfoProto> values) =>
        values.Where(v => v.Type?.TensorType?.ElemType == (int)DataType.Float16).Select(v => v.Name).ToHashSet(StringComparer.Ordinal);

    /// <summary>Casts between the inputs and outputs that were float16 and the tensors inside, which get names of their own.</summary>
    private static void KeepPorts(GraphProto graph, HashSet<string> inputs, HashSet<string> outputs)
    {
        var names = new UniqueNames(graph);
        // Constants that are inputs too are constants; an input that is returned as it is needs no cast.
        inputs.ExceptWith(graph.Initializer.Select(t => t.Name));
        var inside = new Dictionary<string, string>(StringComparer.Ordinal);
        var (first, last) = (new List<NodeProto>(), new List<NodeProto>());
        foreach (var input in graph.Input.Where(i => inputs.Contains(i.Name)))
        {
            input.Type.TensorType.ElemType = (int)DataType.Float16;
            inside[input.Name] = names.Make(input.Name + "_float");
            first.Add(Nodes.Create("Cast", names.Make(input.Name + "_widen"), [input.Name], [inside[input.Name]]).With("to", (long)Float));
        }
        foreach (var output in graph.Output.Where(o => outputs.Contains(o.Name)))
        {
            output.Type.TensorType.ElemType = (int)DataType.Float16;
            if (inputs.Contains(output.Name))
                continue;
            inside[output.Name] = names.Make(output.Name + "_float");
            last.Add(Nodes.Create("Cast", names.Make(output.Name + "_narrow"), [inside[output.Name]], [output.Name]).With("to", (long)DataType.Float16));
        }
        Rename(graph, inside);
        foreach (var tensor in graph.Initializer.Where(t => inside.ContainsKey(t.Name)))
            tensor.Name = inside[tensor.Name];
        graph.Node.Add(last);
        for (var i = 0; i < first.Count; i++)
            graph.Node.Insert(i, first[i]);
    }

    private static void Rename(GraphProto graph, Dictionary<string, string> names)
    {
        foreach (var node in graph.Node)
        {
            Replace(node.Input);
            Replace(node.Output);
            foreach (var body in node.Bodies())
            {
                Rename(body, names);
                foreach (var output in body.Output.Where(o => names.ContainsKey(o.Name)))
                    output.Name = names[output.Name];
            }
        }

        void Replace(IList<string> list)
        {
            for (var i = 0; i < list.Count; i++)
            {
                if (names.TryGetValue(list[i], out var name))
                    list[i] = name;
            }
        }
    }

    private static void Widen(GraphProto graph, string path)
    {
        foreach (var tensor in graph.Initializer.Concat(graph.SparseInitializer.Select(s => s.Values)))
            Widen(tensor, path);
        foreach (var value in graph.ValueInfo)
            Widen(value.Type);
        foreach (var value in graph.Input.Concat(graph.Output))
            Widen(value.Type);
        foreach (var node in graph.Node)
            Widen(node, path);
    }

    private static void Widen(NodeProto node, string path)
    {
        foreach (var attribute in node.Attribute)
        {
            if (attribute.T is not null)
                Widen(attribute.T, path);
            foreach (var tensor in attribute.Tensors)
                Widen(tensor, path);
            if (attribute.SparseTensor is not null)
                Widen(attribute.SparseTensor.Values, path);
            Widen(attribute.Tp);
            if (TypeAttributes.Contains(attribute.Name) && IsHalf((int)attribute.I))
                attribute.I = Float;
        }
        foreach (var body in node.Bodies())
            Widen(body, path);
    }

    private static void Widen(TypeProto? type)
    {
        if (type is null)
            return;
        if (IsHalf(type.TensorType?.ElemType ?? 0))
            type.TensorType!.ElemType = Float;
        Widen(type.SequenceType?.ElemType);
        Widen(type.OptionalType?.ElemType);
    }

    private static void Widen(TensorProto tensor, string path)
    {
        if (!IsHalf(tensor.DataType))
            return;
        Tensors.MoveToRawData(tensor);
        var count = tensor.Count();
        if (count * sizeof(float) > Array.MaxLength)
            throw new QuantSdkException("QSDK3010", $"'{path}': the tensor '{tensor.Name}' has {count} elements of {ElementType.Name(tensor.DataType)}; in 32 bits that is more than 2 GiB, which one tensor may not exceed. Split it, or quantise weights alone.", path, tensor.Name);
        var bytes = new byte[count * sizeof(float)];
        var values = MemoryMarshal.Cast<byte, float>(bytes.AsSpan());
        if (tensor.DataType == (int)DataType.Float16)
        {
            TensorPrimitives.ConvertToSingle(MemoryMarshal.Cast<byte, Half>(tensor.RawData.Span), values);
        }
        else
        {
            var halves = MemoryMarshal.Cast<byte, ushort>(tensor.RawData.Span);
            for (var i = 0; i < values.Length; i++)
                values[i] = BitConverter.UInt32BitsToSingle((uint)halves[i] << 16);
        }
        tensor.DataType = Float;
        tensor.RawData = UnsafeByteOperations.UnsafeWrap(bytes);
    }

    /// <summary>Casts that went between the widths have nothing left to do, and stand between a weight or a pattern and who looks for it.</summary>
    private static void DropIdleCasts(ModelProto proto)
    {
        var types = TypeInference.Infer(proto);
        foreach (var cast in proto.Graph.Node.Where(n => n.Is("Cast") && n.Int("to", 0) == Float && types.GetValueOrDefault(n.Input[0])?.ElemType == Float))
        {
            cast.OpType = "Identity";
            cast.Attribute.Clear();
        }
    }
}
