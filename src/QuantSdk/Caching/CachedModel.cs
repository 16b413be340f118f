using QuantSdk.Engines;
using QuantSdk.Onnx;
using QuantSdk.Recipes;
using QuantSdk.Rewriting;
using QuantSdk.Runtime;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Caching;

/// <summary>
/// A float model that is ready to be divided: the cached tensors are outputs of it, and the nodes that run at every step read them through a
/// gate of their own. Whatever a lowering does on either side, full and live part have the same float tensors there: a graph output
/// is neither renamed nor fused away, and the gate has its own quantisation.
/// </summary>
/// <param name="Model">The marked model: its outputs, then one for each cached tensor.</param>
/// <param name="Cut">The cut, as resolved.</param>
internal sealed record CachedModel(OnnxModel Model, CacheCut Cut, IReadOnlyList<CachedTensor> Tensors)
{
    /// <param name="model">The simplified float model.</param>
    /// <param name="shapes">Types of the cached tensors' sources where they are known; null: they are observed.</param>
    /// <exception cref="QuantSdkException">See <see cref="Frontier.Find"/>; QSDK3066 for a tensor that holds no floats.</exception>
    public static CachedModel Mark(OnnxModel model, DiffusionRoles roles, CacheCut cut, IReadOnlyDictionary<string, TypeProto.Types.Tensor>? shapes = null)
    {
        var cached = Frontier.Find(model, roles, cut);
        var view = new GraphView(model.Graph);
        shapes ??= CachedShapes.Of(model, [.. cached.Select(c => c.Source)]);
        foreach (var tensor in cached)
        {
            if (!ElementType.IsFloat(shapes[tensor.Source].ElemType))
                throw new QuantSdkException("QSDK3066", $"Cache='{cut}': '{tensor.Source}' holds {ElementType.Name(shapes[tensor.Source].ElemType)}, and only floats are cached. Cut where activations pass.", model.Path, tensor.Source);
        }
        var names = new UniqueNames(model.Graph);
        foreach (var name in cached.SelectMany(c => c.Base is null ? (string[])[c.Gate] : [c.Name, c.Gate]))
        {
            if (names.Make(name) != name)
                throw new QuantSdkException("QSDK3061", $"Cache='{cut}': the model has a tensor or node '{name}' already, which the cut would write. Rename it.", model.Path, name);
        }
        var live = Frontier.Live(view, cached).Nodes;
        var proto = model.Proto.Clone();
        var graph = proto.Graph;
        var bySource = cached.ToDictionary(c => c.Source, StringComparer.Ordinal);
        // The clone has the nodes in the same order.
        var nodes = new List<NodeProto>();
        for (var i = 0; i < graph.Node.Count; i++)
        {
            var node = graph.Node[i];
            if (live.Contains(model.Graph.Node[i]))
            {
                for (var k = 0; k < node.Input.Count; k++)
                {
                    if (bySource.TryGetValue(node.Input[k], out var read))
                        node.Input[k] = read.Gate;
                }
            }
            nodes.Add(node);
            foreach (var tensor in node.Output.Select(o => bySource.GetValueOrDefault(o)).OfType<CachedTensor>())
            {
                if (tensor.Base is not null)
                    nodes.Add(Nodes.Create("Sub", tensor.Name, [tensor.Source, tensor.Base], [tensor.Name]));
                nodes.Add(Nodes.Create("Identity", tensor.Gate, [tensor.Source], [tensor.Gate]));
            }
        }
        graph.Node.Clear();
        graph.Node.Add(nodes);
        graph.Output.Add(cached.Select(c => new ValueInfoProto { Name = c.Name, Type = new TypeProto { TensorType = shapes[c.Source] } }));
        return new CachedModel(model with { Proto = proto }, cut, cached);
    }

    /// <summary>The cached tensors as the manifest lists them.</summary>
    public IReadOnlyList<TensorInfo> Infos() =>
        [.. Model.Graph.Output.TakeLast(Tensors.Count).Select(o => new TensorInfo(o.Name, ElementType.Name(o.Type.TensorType.ElemType), [.. o.Type.TensorType.Shape?.Dim.Select(d => d.HasDimValue ? d.DimValue : -1) ?? []]))];

    /// <summary>
    /// The live part of a lowered form of <see cref="Model"/>: the cached tensors are inputs, after the model's own, which it keeps all; the
    /// outputs are the model's own.
    /// </summary>
    public ModelProto Live(ModelProto lowered)
    {
        var proto = lowered.Clone();
        var graph = proto.Graph;
        var byName = Tensors.ToDictionary(t => t.Name, StringComparer.Ordinal);
        var byGate = Tensors.Where(t => t.Base is not null).ToDictionary(t => t.Gate, StringComparer.Ordinal);
        var types = graph.Output.Where(o => byName.ContainsKey(o.Name)).ToDictionary(o => o.Name, StringComparer.Ordinal);
        graph.Input.Add(Tensors.Select(t => types[t.Name].Clone()));
        DeadCode.Retain(graph.Output, o => !byName.ContainsKey(o.Name));
        foreach (var node in graph.Node)
        {
            for (var i = 0; i < node.Output.Count; i++)
            {
                // Nothing reads the new name: the node falls to dead code, but for another output that is needed.
                if (byName.ContainsKey(node.Output[i]))
                    node.Output[i] += "_full";
            }
            if (node.Is("Identity") && byGate.TryGetValue(node.Output[0], out var residual))
            {
                node.OpType = "Add";
                node.Input[0] = residual.Base!;
                node.Input.Add(residual.Name);
            }
        }
        DeadCode.Remove(graph);
        return proto;
    }
}
