using QuantSdk.Onnx;
using QuantSdk.Runtime;

namespace QuantSdk.Caching;

/// <summary>Which tensors' values depend on the sample, on the timestep, and on the rest of the inputs (the prompt). Reading a shape is no dependence.</summary>
internal sealed class ValueDependence
{
    private readonly HashSet<string> _sample, _timestep, _prompt;

    public ValueDependence(GraphView view, DiffusionRoles roles)
    {
        _sample = view.DependentOn([roles.Sample]);
        _timestep = view.DependentOn([roles.Timestep]);
        _prompt = view.DependentOn(view.Inputs.Select(i => i.Name).Where(i => i != roles.Sample && i != roles.Timestep));
    }

    public bool OnSample(string tensor) => _sample.Contains(tensor);

    public bool OnTimestep(string tensor) => _timestep.Contains(tensor);

    public bool OnPrompt(string tensor) => _prompt.Contains(tensor);

    /// <summary>True for a node that computes with the sample.</summary>
    public bool OnSample(NodeProto node) => node.Output.Any(_sample.Contains);
}
