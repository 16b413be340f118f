using QuantSdk.Engines;
using QuantSdk.Onnx;
using QuantSdk.Planning;
using QuantSdk.Recipes;
using QuantSdk.Runtime;

namespace QuantSdk.Rewriting;

/// <summary>
/// conv(concat(a, b)) as conv_a(a) + conv_b(b), so that each branch of a skip connection has an activation scale of its own: the
/// ranges of the two may be a hundred times apart (Li et al. 2023, "Q-Diffusion", §3.3). Exact, but for the order of a sum.
/// </summary>
internal static class ConcatSplit
{
    public const string Kind = "concat-split";

    /// <param name="model">The simplified model.</param>
    /// <returns>
    /// The model with every convolution split that is to be quantised, has one group and reads nothing but the channels of a skip
    /// connection, as many of each branch as is known; what else reads the Concat still does.
    /// </returns>
    public static OnnxModel Apply(OnnxModel model, Recipe recipe, DiffusionRoles? roles)
    {
        if (!recipe.ConcatSplit || recipe.Activations == "float")
            return model;
        var view = new GraphView(model.Graph);
        if (!model.Graph.Node.Any(n => n.Is("Conv") && view.Producer(n.Input[0]) is { } concat && concat.Is("Concat")))
            return model;
        var layers = Placement.Decide(model, recipe, roles).Layers.Where(l => l.Op == "Conv" && l.Groups == 1 && view.Producer(l.Activation) is { } concat && IsSkip(view, concat)).ToArray();
        if (layers.Length == 0)
            return model;
        var types = TypeInference.Infer(model.Proto);
        var splits = new Dictionary<NodeProto, (Layer Layer, long[] Channels)>(ReferenceEqualityComparer.Instance);
        foreach (var layer in layers)
        {
            if (Channels(view.Producer(layer.Activation)!, view.Initializer(layer.Weight)!.Dims, types) is { } channels)
                splits[layer.Node] = (layer, channels);
        }
        if (splits.Count == 0)
            return model;
        var names = new UniqueNames(model.Graph);
        var proto = model.Proto.Clone();
        proto.Graph.Node.Clear();
        var rewrites = new List<Rewrite>();
        foreach (var node in model.Graph.Node)
        {
            if (!splits.TryGetValue(node, out var split))
            {
                proto.Graph.Node.Add(node.Clone());
                continue;
            }
            var weights = Slices(view.Initializer(split.Layer.Weight)!, split.Channels, names);
            var parts = Parts(node, view.Producer(node.Input[0])!.Input, weights, names);
            proto.Graph.Initializer.Add(weights);
            proto.Graph.Node.Add(parts);
            proto.Graph.Node.Add(Sum(node, parts, names));
            rewrites.Add(new Rewrite(Kind, node.Label(), split.Layer.Module, Offsets(split.Channels), [.. parts.Select(p => p.Name)]));
        }
        DeadCode.Remove(proto.Graph);
        return model with { Proto = proto, Rewrites = [.. model.Rewrites, .. rewrites] };
    }

    /// <summary>A Concat of channels, one of whose inputs is computed from another: parallel branches have ranges much alike.</summary>
    private static bool IsSkip(GraphView view, NodeProto concat)
    {
        if (!concat.Is("Concat") || concat.Input.Count < 2 || concat.Input.Distinct(StringComparer.Ordinal).Count() < concat.Input.Count || concat.Input.Any(i => view.Initializer(i) is not null))
            return false;
        return concat.Input.Any(from => view.DependentOn([from]) is var reached && concat.Input.Any(to => to != from && reached.Contains(to)));
    }

    /// <param name="weight">[O, I, k…]</param>
    private static long[]? Channels(NodeProto concat, IReadOnlyList<long> weight, IReadOnlyDictionary<string, TypeProto.Types.Tensor> types)
    {
        if (concat.Int("axis", 0) is var axis && axis != 1 && axis != 1 - weight.Count)
            return null;
        var channels = concat.Input.Select(Known).ToArray();
        // One alone that is not known is what the others leave.
        if (channels.Count(c => c == 0) == 1)
            channels[Array.IndexOf(channels, 0)] = weight[1] - channels.Sum();
        return channels.All(c => c > 0) && channels.Sum() == weight[1] ? channels : null;

        long Known(string tensor) => types.GetValueOrDefault(tensor)?.Shape is { Dim.Count: > 1 } shape && shape.Dim[1].HasDimValue ? Math.Max(0, shape.Dim[1].DimValue) : 0;
    }

    private static long[] Offsets(long[] channels) => [.. channels.Select((_, i) => channels.Take(i).Sum())];

    private static TensorProto[] Slices(TensorProto weight, long[] channels, UniqueNames names)
    {
        var values = weight.ToFloats();
        var taps = weight.Dims.Skip(2).Aggregate(1L, (a, b) => a * b);
        return [.. channels.Zip(Offsets(channels), (count, first) =>
        {
            var slice = new float[weight.Dims[0] * count * taps];
            for (var o = 0L; o < weight.Dims[0]; o++)
                Array.Copy(values, (o * weight.Dims[1] + first) * taps, slice, o * count * taps, count * taps);
            return Tensors.Create(names.Make($"{weight.Name}_from{first}"), slice, [weight.Dims[0], count, .. weight.Dims.Skip(2)]);
        })];
    }

    private static NodeProto[] Parts(NodeProto conv, IReadOnlyList<string> branches, TensorProto[] weights, UniqueNames names) => [.. branches.Select((branch, i) =>
    {
        var part = conv.Clone();
        part.Name = names.Make($"{conv.Label()}_part{i}");
        part.Input.Clear();
        part.Input.Add([branch, weights[i].Name]);
        if (i == 0)
            part.Input.Add(conv.Input.Skip(2));
        part.Output[0] = names.Make($"{conv.Output[0]}_part{i}");
        part.MetadataProps.Add(new StringStringEntryProto { Key = Rewrite.PartOf, Value = conv.Label() });
        return part;
    })];

    private static IEnumerable<NodeProto> Sum(NodeProto conv, NodeProto[] parts, UniqueNames names)
    {
        var sum = parts[0].Output[0];
        foreach (var part in parts.Skip(1))
        {
            var add = Nodes.Create("Add", names.Make($"{conv.Label()}_sum"), [sum, part.Output[0]], [part == parts[^1] ? conv.Output[0] : names.Make($"{conv.Output[0]}_sum")]);
            add.MetadataProps.Add(conv.MetadataProps);
            sum = add.Output[0];
            yield return add;
        }
    }
}
