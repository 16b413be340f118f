using QuantSdk.Onnx;

namespace QuantSdk.Rewriting;

/// <summary>
/// Proves that a candidate is attention and writes it as one node. B, N, S, T, D, E are batch, heads, queries, keys, channels of a head
/// of q and k, and of v.
/// </summary>
internal sealed class AttentionWriter(GraphProto graph, GraphView view, ProbedShapes shapes, AttentionCandidate candidate, long opset)
{
    private readonly List<NodeProto> _nodes = [];
    private readonly List<TensorProto> _initializers = [];
    private double _scale = candidate.Scale;

    /// <summary>The nodes that take the place of softmax·v, Transpose and Reshape; null where it is not attention, or has no form that the kernel takes.</summary>
    public IReadOnlyList<NodeProto>? Write()
    {
        if (Dimensions() is not { } d || Mask(d) is not { } mask)
            return null;
        var query = Peel(candidate.Scores.Input[0]);
        var key = Peel(candidate.Scores.Input[1]);
        var value = candidate.Product.Input[1];
        if (Sequence(query) is not { } q || !(_scale > 0) || !float.IsFinite((float)_scale))
            return null;
        string k, v;
        if (KeySequence(key) is { } ks && _scale > 0 && Sequence(value) is { } vs)
            (k, v) = (ks, vs);
        else if (KeyHeads(key, d) is { } kh)
            // Both may come by heads as well.
            (k, v) = (kh, value);
        else
            return null;
        if (!(_scale > 0) || Result(d) is not { } result)
            return null;
        var attention = Nodes.Create("MultiHeadAttention", candidate.Product.Name, mask.Length == 0 ? [q, k, v] : [q, k, v, "", "", mask], [result], "com.microsoft")
            .With("num_heads", d[0].N).With("scale", (float)_scale);
        _nodes.Add(attention);
        if (result != candidate.Reshape.Output[0])
            _nodes.Add(Nodes.Create("Reshape", candidate.Reshape.Name, [result, candidate.Reshape.Input[1]], [candidate.Reshape.Output[0]]));
        graph.Initializer.Add(_initializers.Where(i => !graph.Initializer.Any(g => g.Name == i.Name)));
        return _nodes;
    }

    /// <summary>The sizes at each probe; null where the operands are not what attention has.</summary>
    private Sizes[]? Dimensions()
    {
        if (shapes[candidate.Scores.Input[0]] is not { } q || shapes[candidate.Scores.Input[1]] is not { } k || shapes[candidate.Product.Input[1]] is not { } v
            || ((string[])[candidate.Softmax.Input[0], candidate.Softmax.Output[0], candidate.Scores.Output[0], candidate.Product.Output[0]]).Any(t => shapes[t] is null))
            return null;
        var sizes = new Sizes[q.Length];
        for (var i = 0; i < q.Length; i++)
        {
            if (q[i].Length != 4 || k[i].Length != 4 || v[i].Length != 4)
                return null;
            var s = sizes[i] = new Sizes(q[i][0], q[i][1], q[i][2], k[i][3], q[i][3], v[i][3]);
            if (!k[i].AsSpan().SequenceEqual([s.B, s.N, s.D, s.T]) || !v[i].AsSpan().SequenceEqual([s.B, s.N, s.T, s.E]))
                return null;
            if ((s.N, s.D, s.E) != (sizes[0].N, sizes[0].D, sizes[0].E))
                return null;
        }
        return sizes;
    }

    /// <summary>The mask as the kernel takes it: (1 or B) × (1 or N) × S × T. Empty without one, null where it is something else.</summary>
    private string? Mask(Sizes[] d)
    {
        if (candidate.Mask is not { } mask)
            return "";
        var constant = view.Initializer(mask);
        if (constant is not null && constant.DataType != (int)TensorProto.Types.DataType.Float)
            return null;
        var dims = constant is not null ? [.. d.Select(_ => constant.Dims.ToArray())] : shapes[mask];
        if (dims is null || dims.Any(x => x.Length is < 2 or > 4 || x.Length != dims[0].Length))
            return null;
        var missing = 4 - dims[0].Length;
        long Dim(int probe, int axis) => axis < missing ? 1 : dims[probe][axis - missing];
        for (var i = 0; i < d.Length; i++)
        {
            if (Dim(i, 2) != d[i].S || Dim(i, 3) != d[i].T)
                return null;
        }
        // 1 everywhere, or B everywhere.
        if (!(All(i => Dim(i, 0) == 1) || All(i => Dim(i, 0) == d[i].B)) || !(All(i => Dim(i, 1) == 1) || All(i => Dim(i, 1) == d[i].N)))
            return null;
        if (missing == 0)
            return mask;
        if (opset < 13)
            return null;
        var name = $"{candidate.Product.Name}_mask";
        _initializers.Add(Tensors.Vector(name + "_axes", [.. Enumerable.Range(0, missing).Select(a => (long)a)]));
        _nodes.Add(Nodes.Create("Unsqueeze", name, [mask, name + "_axes"], [name + "_4d"]));
        return name + "_4d";

        bool All(Func<int, bool> holds) => Enumerable.Range(0, d.Length).All(holds);
    }

    /// <summary>The tensor above scalar factors and casts, which go into the scale.</summary>
    private string Peel(string tensor)
    {
        tensor = AttentionFusion.AboveCasts(view, tensor);
        while (view.Producer(tensor) is { } node && AttentionFusion.ScaledInput(view, node) is var (input, factor))
            (tensor, _scale) = (AttentionFusion.AboveCasts(view, input), _scale * factor);
        return tensor;
    }

    /// <summary>A B×N×S×D tensor as B×S×(N·D), or null where no transpose makes it so.</summary>
    private string? Sequence(string heads)
    {
        heads = AttentionFusion.AboveCasts(view, heads);
        if (shapes[heads] is null || view.Producer(heads) is not { } node)
            return null;
        if (AttentionFusion.IsTranspose(node, 0, 2, 1, 3))
            return Joined(node.Input[0]);
        return node.Is("Concat") && node.Int("axis", 0) is 2 or -2 ? Concat(node, node.Input.Select(Sequence)) : null;
    }

    /// <summary>A B×N×D×T tensor as B×T×(N·D), or null.</summary>
    private string? KeySequence(string transposed)
    {
        if (shapes[transposed] is null || view.Producer(transposed) is not { } node)
            return null;
        if (AttentionFusion.IsTranspose(node, 0, 2, 3, 1))
            return Joined(Peel(node.Input[0]));
        return AttentionFusion.IsTranspose(node, 0, 1, 3, 2) ? Sequence(Peel(node.Input[0])) : Untransposed(transposed) is { } heads ? Sequence(Peel(heads)) : null;
    }

    /// <summary>A B×N×D×T tensor as B×N×T×D, or null.</summary>
    private string? KeyHeads(string transposed, Sizes[] d)
    {
        var heads = AttentionFusion.IsTranspose(view.Producer(transposed), 0, 1, 3, 2) ? view.Producer(transposed)!.Input[0] : Untransposed(transposed);
        return heads is not null && shapes.Is(heads, i => [d[i].B, d[i].N, d[i].T, d[i].D]) ? heads : null;
    }

    /// <summary>The B×N×T×D tensor that is transposed as (B·N)×T×D, as exporters write it that know matrices only.</summary>
    private string? Untransposed(string tensor)
    {
        if (view.Producer(tensor) is not { } outer || !outer.Is("Reshape") || view.Producer(outer.Input[0]) is not { } transpose || !AttentionFusion.IsTranspose(transpose, 0, 2, 1)
            || view.Producer(transpose.Input[0]) is not { } inner || !inner.Is("Reshape") || shapes[tensor] is not { } to)
            return null;
        var from = inner.Input[0];
        return shapes.Is(from, i => [to[i][0], to[i][1], to[i][3], to[i][2]]) && shapes.Is(transpose.Input[0], i => [to[i][0] * to[i][1], to[i][3], to[i][2]]) ? from : null;
    }

    /// <summary>A B×S×N×D tensor as B×S×(N·D): what a Reshape has made it of, or a Reshape of it.</summary>
    private string? Joined(string split)
    {
        split = AttentionFusion.AboveCasts(view, split);
        if (shapes[split] is not { } dims || dims.Any(x => x.Length != 4))
            return null;
        long[] Flat(int i) => [dims[i][0], dims[i][1], dims[i][2] * dims[i][3]];
        if (view.Producer(split) is { } node)
        {
            if (node.Is("Reshape") && view.Initializer(node.Input[1]) is not null && AttentionFusion.AboveCasts(view, node.Input[0]) is var source && shapes.Is(source, Flat))
                return source;
            if (node.Is("Concat") && node.Int("axis", 0) is 1 or -3)
                return Concat(node, node.Input.Select(Joined));
        }
        const string shape = "attention_join_shape";
        if (!_initializers.Any(i => i.Name == shape))
            _initializers.Add(Tensors.Vector(shape, 0L, 0L, -1L));
        var joined = split + "_joined";
        if (!_nodes.Any(n => n.Output[0] == joined))
            _nodes.Add(Nodes.Create("Reshape", joined, [split, shape], [joined]));
        return joined;
    }

    private string? Concat(NodeProto concat, IEnumerable<string?> streams)
    {
        var inputs = new List<string>();
        foreach (var stream in streams)
        {
            if (stream is null)
                return null;
            inputs.Add(stream);
        }
        var joined = concat.Output[0] + "_joined";
        _nodes.Add(Nodes.Create("Concat", joined, inputs, [joined]).With("axis", 1L));
        return joined;
    }

    /// <summary>What the kernel writes, B×S×(N·E): the output of the Reshape itself where it has that shape.</summary>
    private string? Result(Sizes[] d)
    {
        var reshape = candidate.Reshape;
        if (view.Initializer(reshape.Input[1]) is not { } shape)
            return null;
        if (shapes.Is(reshape.Output[0], i => [d[i].B, d[i].S, d[i].N * d[i].E]))
            return reshape.Output[0];
        // A 0 copies a dimension: the first two are the same before and after.
        return shape.ToInt64s().Skip(2).Contains(0) || reshape.Int("allowzero", 0) != 0 ? null : candidate.Transpose.Output[0] + "_joined";
    }

    private sealed record Sizes(long B, long N, long S, long T, long D, long E);
}
