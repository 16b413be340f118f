using QuantSdk.Onnx;
using QuantSdk.Planning;
using static QuantSdk.Onnx.AttributeProto.Types;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Rewriting;

/// <summary>A model with an extra input of booleans, each of which quantises a group of layers.</summary>
/// <param name="Switches">Name of the input, of shape [groups].</param>
internal sealed record SwitchedModel(ModelProto Proto, string Switches);

/// <summary>
/// Fake quantisation that is switched on group by group while the model runs, so that one session measures them all. Each layer is an
/// If: the float node as it was, or what <see cref="SimLowering"/> makes of it. Only what is switched on is computed.
/// </summary>
internal static class SwitchedLowering
{
    /// <param name="rounded">Weights that were rounded for the least error, where some were.</param>
    public static SwitchedModel Lower(OnnxModel model, Plan plan, IReadOnlyList<IReadOnlyList<LayerPlan>> groups, RoundedWeights? rounded)
    {
        var proto = model.Proto.Clone();
        var view = new GraphView(proto.Graph);
        var names = new UniqueNames(proto.Graph);
        var nodes = proto.Graph.Node.ToDictionary(n => n.Label(), StringComparer.Ordinal);
        var switches = names.Make("quantised");
        var switching = new List<NodeProto>();
        // The last node of each layer becomes its If, the others go.
        var replaced = new Dictionary<NodeProto, NodeProto?>(ReferenceEqualityComparer.Instance);
        for (var g = 0; g < groups.Count; g++)
        {
            var (index, on) = (names.Make($"{switches}_{g}_index"), names.Make($"{switches}_{g}"));
            proto.Graph.Initializer.Add(Tensors.Scalar(index, (long)g));
            switching.Add(Nodes.Create("Gather", "", [switches, index], [on]));
            foreach (var layer in groups[g])
            {
                NodeProto[] region = nodes[layer.Node] is var node && BiasBehind(view, node) is { } add ? [node, add] : [node];
                foreach (var inner in region)
                    replaced[inner] = null;
                replaced[region[^1]] = If(on, layer, Quantised(model, plan, layer, rounded, view, region, names), Branch(region, [], region[^1].Output[0], names), region[^1].Output[0]);
            }
        }
        NodeProto[] all = [.. switching, .. proto.Graph.Node.Select(n => replaced.TryGetValue(n, out var switched) ? switched : n).OfType<NodeProto>()];
        proto.Graph.Node.Clear();
        proto.Graph.Node.Add(all);
        proto.Graph.Input.Add(Value(switches, DataType.Bool, groups.Count));
        return new SwitchedModel(proto, switches);
    }

    /// <summary>The Add of a constant that alone reads a MatMul: corrections go into that constant.</summary>
    private static NodeProto? BiasBehind(GraphView view, NodeProto node) =>
        node.Is("MatMul") && view.OnlyConsumer(node.Output[0]) is { } add && add.Is("Add") && add.Input.Any(i => view.Initializer(i) is not null) ? add : null;

    /// <summary>A layer on its own, lowered as it would be within the model.</summary>
    private static GraphProto Quantised(OnnxModel model, Plan plan, LayerPlan layer, RoundedWeights? rounded, GraphView view, NodeProto[] region, UniqueNames names)
    {
        var alone = new ModelProto { IrVersion = model.Proto.IrVersion, Graph = new GraphProto { Name = layer.Node } };
        alone.OpsetImport.Add(model.Proto.OpsetImport);
        alone.Graph.Input.Add(Value(layer.Activation.Tensor, DataType.Float));
        alone.Graph.Output.Add(Value(region[^1].Output[0], DataType.Float));
        alone.Graph.Initializer.Add(region.SelectMany(n => n.Input).Distinct(StringComparer.Ordinal).Select(view.Initializer).OfType<TensorProto>());
        alone.Graph.Node.Add(region.Select(n => n.Clone()));
        var lowered = SimLowering.Lower(model with { Proto = alone }, plan with { Layers = [layer], Kept = [] }, rounded).Graph;
        return Branch(lowered.Node, lowered.Initializer, region[^1].Output[0], names);
    }

    /// <summary>Nodes as the branch of an If, everything that they make under names of its own.</summary>
    private static GraphProto Branch(IEnumerable<NodeProto> nodes, IEnumerable<TensorProto> initializers, string output, UniqueNames names)
    {
        var branch = new GraphProto { Name = names.Make("branch") };
        var renamed = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var tensor in initializers)
        {
            var own = tensor.Clone();
            branch.Initializer.Add(own);
            own.Name = renamed[tensor.Name] = names.Make(tensor.Name);
        }
        foreach (var node in nodes)
        {
            var own = node.Clone();
            for (var i = 0; i < own.Input.Count; i++)
                own.Input[i] = renamed.GetValueOrDefault(own.Input[i], own.Input[i]);
            for (var i = 0; i < own.Output.Count; i++)
            {
                if (own.Output[i].Length > 0)
                    own.Output[i] = renamed[own.Output[i]] = names.Make(own.Output[i]);
            }
            own.Name = own.Output[0];
            branch.Node.Add(own);
        }
        branch.Output.Add(Value(renamed[output], DataType.Float));
        return branch;
    }

    private static NodeProto If(string condition, LayerPlan layer, GraphProto then, GraphProto otherwise, string output)
    {
        var node = Nodes.Create("If", layer.Node, [condition], [output]);
        node.Attribute.Add(new AttributeProto { Name = "then_branch", Type = AttributeType.Graph, G = then });
        node.Attribute.Add(new AttributeProto { Name = "else_branch", Type = AttributeType.Graph, G = otherwise });
        return node;
    }

    /// <summary>A tensor of a type; of any shape where none is given.</summary>
    private static ValueInfoProto Value(string name, DataType type, params ReadOnlySpan<long> dims)
    {
        var tensor = new TypeProto.Types.Tensor { ElemType = (int)type };
        if (!dims.IsEmpty)
            tensor.Shape = new TensorShapeProto();
        foreach (var dim in dims)
            tensor.Shape.Dim.Add(new TensorShapeProto.Types.Dimension { DimValue = dim });
        return new ValueInfoProto { Name = name, Type = new TypeProto { TensorType = tensor } };
    }
}
