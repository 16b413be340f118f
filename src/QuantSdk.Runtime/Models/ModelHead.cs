namespace QuantSdk.Runtime;

/// <summary>A part of a model that does not depend on the values of the sample, opened apart: see <see cref="HeadInfo"/>.</summary>
/// <param name="Session">Computes inputs of heads after it and of the model.</param>
/// <param name="DependsOn">One of <see cref="HeadDependence.All"/>.</param>
internal sealed record ModelHead(ModelSession Session, string DependsOn)
{
    /// <summary>Another timestep gives other values.</summary>
    public bool OnTimestep => DependsOn != HeadDependence.Prompt;

    /// <summary>Another prompt gives other values.</summary>
    public bool OnPrompt => DependsOn != HeadDependence.Timestep;
}
