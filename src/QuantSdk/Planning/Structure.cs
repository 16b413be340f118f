using QuantSdk.Onnx;
using QuantSdk.Runtime;

namespace QuantSdk.Planning;

/// <summary>
/// The built-in exclusions, from the graph alone: what does not depend on the sample (time and prompt embeddings and their
/// projections; cheap, and what they feed is sensitive), what reads the sample, and what writes the output.
/// </summary>
internal sealed class Structure
{
    public const string Conditioning = "does not depend on the sample (conditioning)";

    private readonly HashSet<string> _dependent;
    private readonly HashSet<string> _behindWeights;
    private readonly HashSet<NodeProto> _last;
    private readonly bool _sampleIsFloat;

    private Structure(IReadOnlyList<string> samples, HashSet<string> dependent, HashSet<string> behindWeights, HashSet<NodeProto> last, bool sampleIsFloat, LanguageModels language) =>
        (Samples, _dependent, _behindWeights, _last, _sampleIsFloat, Language) = (samples, dependent, behindWeights, last, sampleIsFloat, language);

    public static Structure Of(GraphView view, DiffusionRoles? roles)
    {
        // Without roles every float input is a sample; a model of tokens has none, and then all its inputs count.
        var floats = view.Inputs.Where(i => i.Type?.TensorType is { } t && ElementType.IsFloat(t.ElemType)).Select(i => i.Name).ToArray();
        var samples = roles is not null ? [roles.Sample] : floats.Length > 0 ? floats : [.. view.Inputs.Select(i => i.Name)];
        var dependent = view.DependentOn(samples);
        var weighted = view.Graph.Node.Where(n => Placement.IsProduct(n) && Placement.Candidate(view, n, "").Layer is not null && dependent.Contains(n.Input[0])).ToArray();
        return new Structure(samples, dependent, view.DependentOn(weighted.SelectMany(n => n.Output)), Last(view, [.. weighted]), roles is not null || floats.Length > 0, new LanguageModels(view));
    }

    /// <summary>The inputs that are the sample; without roles every float input, and of a model of tokens all.</summary>
    public IReadOnlyList<string> Samples { get; }

    /// <summary>False for conditioning.</summary>
    public bool DependsOnSample(string tensor) => _dependent.Contains(tensor);

    /// <summary>What language models keep.</summary>
    public LanguageModels Language { get; }

    /// <summary>The reason why a layer stays in float, or null.</summary>
    public string? Exclusion(Layer layer)
    {
        if (!DependsOnSample(layer.Activation))
            return Conditioning;
        if (_sampleIsFloat && !_behindWeights.Contains(layer.Activation))
            return "reads the sample";
        return _last.Contains(layer.Node) ? "writes the output" : Language.Exclusion(layer);
    }

    /// <summary>The layer that writes the first output: reached from it through nodes with a single variable input.</summary>
    private static HashSet<NodeProto> Last(GraphView view, HashSet<NodeProto> weighted)
    {
        var tensor = view.Graph.Output[0].Name;
        while (view.Producer(tensor) is { } node)
        {
            if (weighted.Contains(node))
                return [node];
            var variable = node.Input.Where(i => i.Length > 0 && view.Initializer(i) is null).Distinct(StringComparer.Ordinal).ToArray();
            if (variable.Length != 1 || node.HasSubgraph())
                return [];
            tensor = variable[0];
        }
        return [];
    }
}
