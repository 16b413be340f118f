using QuantSdk.Runtime;

namespace QuantSdk.Caching.Hoisting;

/// <summary>
/// What one head computes. What only full steps read is apart from what live ones read as well: a live step at a new timestep shall not pay for the others.
/// (Of the prompt it need not be: the first step of a run is full.)
/// </summary>
/// <param name="DependsOn">One of <see cref="HeadDependence.All"/>.</param>
/// <param name="OnlyFull">The live part reads none of it.</param>
internal sealed record HeadPart(string DependsOn, bool OnlyFull)
{
    /// <summary>The parts of a model, in the order of evaluation, whether it has something of each or not: their files are declared before anyone has looked.</summary>
    public static IReadOnlyList<HeadPart> All(bool cached) =>
        [.. HeadDependence.All.SelectMany(d => cached && d != HeadDependence.Prompt ? (HeadPart[])[new(d, false), new(d, true)] : [new(d, false)])];

    /// <summary>The head's file, beside the model's.</summary>
    /// <param name="form">Empty for the portable graph.</param>
    public string File(string form = "") => $"head.{DependsOn}{(OnlyFull ? ".full" : "")}{form}.onnx";
}
