using QuantSdk.Engines;
using QuantSdk.Onnx;
using QuantSdk.Rewriting;
using QuantSdk.Runtime;

namespace QuantSdk.Caching.Hoisting;

/// <summary>
/// A lowered denoiser divided at its <see cref="HoistFrontier"/>: heads, which compute what does not depend on the sample, and the rest, which takes that as inputs.
/// Divided after lowering, so that every layer is what it is without.
/// </summary>
internal sealed class HoistedModel
{
    private readonly IReadOnlyDictionary<string, TypeProto.Types.Tensor> _types;

    private HoistedModel(ModelProto lowered, IReadOnlyList<HoistedTensor> tensors, IReadOnlyDictionary<string, TypeProto.Types.Tensor> types) => (Lowered, Tensors, _types) = (lowered, tensors, types);

    /// <summary>The graph as it was.</summary>
    public ModelProto Lowered { get; }

    /// <summary>What the heads compute, in the order of the graph.</summary>
    public IReadOnlyList<HoistedTensor> Tensors { get; }

    /// <summary>Divides a lowered model; null where nothing that costs arithmetic is independent of the sample.</summary>
    /// <param name="live">Its live part, or null where it is not cached.</param>
    public static HoistedModel? Of(ModelProto lowered, DiffusionRoles roles, ModelProto? live = null)
    {
        var found = HoistFrontier.Find(new GraphView(lowered.Graph), roles);
        // Not the shapes that runs have: given these, ONNX Runtime knows more of the rest than it does of the whole, fuses more, and rounds otherwise.
        if (found.Count == 0 || TypeInference.AsOptimised(lowered, [.. found.Select(t => t.Name)]) is not { } types)
            return null;
        // Sums of sizes and masks of bools cost nothing.
        HoistedTensor[] floats = [.. found.Where(t => types.TryGetValue(t.Name, out var type) && ElementType.IsFloat(type.ElemType))];
        if (floats.Length == 0)
            return null;
        var hoisted = new HoistedModel(lowered, floats, types);
        if (live is null)
            return hoisted;
        var read = hoisted.ReadBy(live);
        return new HoistedModel(lowered, [.. floats.Select(t => t with { OnlyFull = t.DependsOn != HeadDependence.Prompt && !read.Contains(t.Name) })], types);
    }

    /// <summary>The tensors that a part of the model reads, and those of which heads compute these.</summary>
    private HashSet<string> ReadBy(ModelProto part)
    {
        var read = Read(Rest(part).Graph);
        var earlier = Tensors.Where(t => t.DependsOn != HeadDependence.Both).Select(t => t.Name).ToHashSet(StringComparer.Ordinal);
        var both = Tensors.Where(t => t.DependsOn == HeadDependence.Both && read.Contains(t.Name)).Select(t => t.Name);
        read.UnionWith(BackwardSlice.Of(new GraphView(Lowered.Graph), both, earlier).Read);
        return read;
    }

    /// <summary>What a head computes, as the manifest lists it.</summary>
    public IReadOnlyList<TensorInfo> Infos(HeadPart part) =>
        [.. Of(part).Select(t => new TensorInfo(t.Name, ElementType.Name(_types[t.Name].ElemType), [.. _types[t.Name].Shape?.Dim.Select(d => d.HasDimValue ? d.DimValue : -1) ?? []]))];

    /// <summary>The tensors that a head computes.</summary>
    public IEnumerable<HoistedTensor> Of(HeadPart part) => Tensors.Where(t => t.DependsOn == part.DependsOn && t.OnlyFull == part.OnlyFull);

    /// <summary>
    /// True where a head shall run on one thread. What is computed for every timestep of a run is little beside a step: waking other threads for it, and putting
    /// them to sleep before the step, costs more than they bring. Kernels for weights of few bits round by how their work is divided, and need as many as the whole has.
    /// </summary>
    public bool OneThread(HeadPart part) => part.DependsOn != HeadDependence.Prompt && !Head(part).Graph.Node.Any(n => n.Is("DequantizeLinear") || n.Domain == "com.microsoft" && n.OpType.StartsWith("MatMul", StringComparison.Ordinal));

    /// <summary>The nodes that heads run.</summary>
    public IReadOnlySet<NodeProto> Nodes() => BackwardSlice.Of(new GraphView(Lowered.Graph), Tensors.Select(t => t.Name), new HashSet<string>()).Nodes;

    /// <summary>
    /// One head: its outputs are its tensors, its inputs what it reads of the model's and of the heads' before it. Where it needs the sample's shape it has the
    /// sample among them.
    /// </summary>
    public ModelProto Head(HeadPart part)
    {
        var before = HeadDependence.All.TakeWhile(d => d != part.DependsOn).ToHashSet(StringComparer.Ordinal);
        var proto = Lowered.Clone();
        var graph = proto.Graph;
        graph.Output.Clear();
        graph.Output.Add(Of(part).Select(t => Value(t.Name)));
        Cut(graph, [.. Tensors.Where(t => before.Contains(t.DependsOn)).Select(t => t.Name)], graph.Input.Count);
        var read = Read(graph);
        DeadCode.Retain(graph.Input, i => read.Contains(i.Name));
        return proto;
    }

    /// <summary>The rest of the lowered model or of a part of it: what it reads of the heads' tensors are inputs, after the model's own.</summary>
    /// <param name="part">The lowered model, or its live part.</param>
    public ModelProto Rest(ModelProto part)
    {
        var proto = part.Clone();
        Cut(proto.Graph, [.. Tensors.Select(t => t.Name)], Lowered.Graph.Input.Count);
        return proto;
    }

    /// <summary>Makes inputs of tensors, as far as they are still read.</summary>
    private void Cut(GraphProto graph, IReadOnlyList<string> tensors, int position)
    {
        var cut = tensors.ToHashSet(StringComparer.Ordinal);
        foreach (var node in graph.Node)
        {
            for (var i = 0; i < node.Output.Count; i++)
            {
                // Nothing reads the new name: the node falls to dead code, but for another output that is needed.
                if (cut.Contains(node.Output[i]))
                    node.Output[i] += "_hoisted";
            }
        }
        DeadCode.Remove(graph);
        var read = Read(graph);
        foreach (var tensor in tensors.Where(read.Contains))
            graph.Input.Insert(position++, Value(tensor));
    }

    private ValueInfoProto Value(string tensor) => new() { Name = tensor, Type = new TypeProto { TensorType = _types[tensor].Clone() } };

    private static HashSet<string> Read(GraphProto graph) =>
        graph.Node.SelectMany(n => n.Input.Concat(GraphView.Captured(n))).Concat(graph.Output.Select(o => o.Name)).ToHashSet(StringComparer.Ordinal);
}
