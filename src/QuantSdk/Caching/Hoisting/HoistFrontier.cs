using QuantSdk.Onnx;
using QuantSdk.Runtime;

namespace QuantSdk.Caching.Hoisting;

/// <summary>
/// Where a denoiser's computing with the sample begins: the last tensors that depend on prompt and timestep alone and cost arithmetic. What merely lays out
/// such a tensor anew (Reshape, Cast, Transpose, …) or scales it stays behind, next to what reads it, where ONNX Runtime fuses it as ever.
/// </summary>
/// <remarks>
/// The shape of the sample does not count: who needs it is given the sample itself, in place, and reads no value of it. The shape of anything computed from the
/// sample does count, as that would have to be computed too.
/// </remarks>
internal sealed class HoistFrontier
{
    /// <summary>Operators that compute nothing; by their first input, Concat by all.</summary>
    private static readonly HashSet<string> s_layout =
    [
        "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Transpose", "Expand", "Tile", "Pad", "Slice", "Split", "Gather", "Concat", "Identity", "Cast", "QuantizeLinear", "DequantizeLinear",
        "Shape", "Size", "ConstantOfShape", "Range", "Constant",
    ];

    /// <summary>Of these only the first input holds data: the others are shapes, axes and indices.</summary>
    private static readonly HashSet<string> s_shaped = ["Reshape", "Squeeze", "Unsqueeze", "Expand", "Tile", "Pad", "Slice", "Split", "Gather", "Resize", "Upsample", "QuantizeLinear", "DequantizeLinear"];

    private readonly GraphView _view;
    private readonly HashSet<string> _sample, _timestep, _prompt, _dynamic;

    private HoistFrontier(GraphView view, DiffusionRoles roles)
    {
        _view = view;
        _sample = OnSample(view, roles.Sample);
        _timestep = view.DependentOn([roles.Timestep]);
        _prompt = view.DependentOn(view.Inputs.Select(i => i.Name).Where(i => i != roles.Sample && i != roles.Timestep));
        _dynamic = Dynamic(view);
    }

    /// <returns>In the order of the graph. Not all of them need hold floats.</returns>
    public static IReadOnlyList<HoistedTensor> Find(GraphView view, DiffusionRoles roles)
    {
        var frontier = new HoistFrontier(view, roles);
        var found = new HashSet<string>(StringComparer.Ordinal);
        foreach (var node in view.Graph.Node)
        {
            foreach (var (input, index) in node.Input.Select((input, i) => (input, i)).Concat(GraphView.Captured(node).Select(input => (input, -1))))
            {
                if (input.Length > 0 && !frontier._sample.Contains(input) && frontier.Crosses(node, input) && !(index > 0 && s_shaped.Contains(node.OpType)))
                    frontier.Collect(input, found);
            }
        }
        return [.. view.Graph.Node.SelectMany(n => n.Output).Where(found.Contains).Select(t => new HoistedTensor(t, frontier.Kind(t)))];
    }

    private string Kind(string tensor) => !_timestep.Contains(tensor) ? HeadDependence.Prompt : _prompt.Contains(tensor) ? HeadDependence.Both : HeadDependence.Timestep;

    /// <summary>True where what reads the tensor is evaluated more often.</summary>
    private bool Crosses(NodeProto node, string tensor) =>
        node.Output.Any(_sample.Contains) || Kind(tensor) != HeadDependence.Both && node.Output.Any(o => o.Length > 0 && Kind(o) == HeadDependence.Both);

    /// <summary>The tensor, or what it lays out anew.</summary>
    private void Collect(string tensor, HashSet<string> found)
    {
        if (_sample.Contains(tensor) || !_dynamic.Contains(tensor) || _view.IsOutput(tensor) || _view.Producer(tensor) is not { } node)
            return;
        if (node.Domain is not ("" or "ai.onnx") || !s_layout.Contains(node.OpType) && !IsScaling(node))
        {
            found.Add(tensor);
            return;
        }
        foreach (var input in s_shaped.Contains(node.OpType) ? node.Input.Take(1) : node.Input)
            Collect(input, found);
    }

    /// <summary>A factor for all of a tensor, such as keys have: ONNX Runtime makes it one of the product that reads them, which rounds otherwise.</summary>
    private bool IsScaling(NodeProto node) => (node.Is("Mul") || node.Is("Div")) && node.Input.Any(i => _view.Initializer(i)?.Count() == 1);

    /// <summary>What cannot be computed without the sample's values.</summary>
    private static HashSet<string> OnSample(GraphView view, string sample)
    {
        var reached = new HashSet<string>(StringComparer.Ordinal) { sample };
        foreach (var node in view.Graph.Node)
        {
            if ((node.Is("Shape") || node.Is("Size")) && node.Input[0] == sample)
                continue;
            // Drawn anew in every run.
            var random = node.OpType.StartsWith("Random", StringComparison.Ordinal) || node.Is("Bernoulli") || node.Is("Multinomial") || node.Is("Dropout") && node.Input.Count > 2;
            if (random || node.Input.Any(reached.Contains) || GraphView.Captured(node).Any(reached.Contains))
                reached.UnionWith(node.Output.Where(o => o.Length > 0));
        }
        return reached;
    }

    /// <summary>What is no constant.</summary>
    private static HashSet<string> Dynamic(GraphView view)
    {
        var reached = view.Inputs.Select(i => i.Name).ToHashSet(StringComparer.Ordinal);
        foreach (var node in view.Graph.Node)
        {
            if (node.Input.Any(reached.Contains) || GraphView.Captured(node).Any(reached.Contains))
                reached.UnionWith(node.Output.Where(o => o.Length > 0));
        }
        return reached;
    }
}
