using QuantSdk.Onnx;

namespace QuantSdk.Rewriting;

/// <summary>A product written as one constant and the tensors it multiplies.</summary>
/// <param name="Tensors">The variable factors, with repetition.</param>
/// <param name="Nodes">The Mul, Div and Pow nodes that make it up; nobody else reads what they compute.</param>
internal sealed record Factors(double Constant, IReadOnlyList<string> Tensors, IReadOnlyList<NodeProto> Nodes)
{
    /// <summary>Unfolds the tree of Mul, Div by a constant and Pow(·, 2 or 3) above a tensor, as far as only the tree itself reads it.</summary>
    /// <param name="tensor">The product; others may read it.</param>
    public static Factors Of(GraphView view, string tensor)
    {
        var constant = 1.0;
        var tensors = new List<string>();
        var nodes = new List<NodeProto>();
        Unfold(tensor, root: true);
        return new Factors(constant, tensors, nodes);

        void Unfold(string name, bool root)
        {
            var node = view.Producer(name);
            if (node is not null && (root || view.OnlyConsumer(name) is not null))
            {
                if (node.Is("Mul"))
                {
                    nodes.Add(node);
                    foreach (var input in node.Input)
                    {
                        if (Scalar(view, input) is { } factor)
                            constant *= factor;
                        else
                            Unfold(input, root: false);
                    }
                    return;
                }
                if (node.Is("Div") && Scalar(view, node.Input[1]) is { } divisor && divisor != 0)
                {
                    nodes.Add(node);
                    constant /= divisor;
                    Unfold(node.Input[0], root: false);
                    return;
                }
                if (node.Is("Pow") && Scalar(view, node.Input[1]) is 2 or 3)
                {
                    nodes.Add(node);
                    tensors.AddRange(Enumerable.Repeat(node.Input[0], (int)Scalar(view, node.Input[1])!.Value));
                    return;
                }
            }
            tensors.Add(name);
        }
    }

    /// <summary>The value of a constant that holds one float and adds no dimension to what it is combined with.</summary>
    public static double? Scalar(GraphView view, string tensor) =>
        view.Initializer(tensor) is { DataType: (int)TensorProto.Types.DataType.Float, Dims.Count: 0 or 1 } constant && constant.Count() == 1 ? constant.ToFloats()[0] : null;
}
