namespace QuantSdk.Caching.Hoisting;

/// <summary>A tensor that is computed apart from the model.</summary>
/// <param name="DependsOn">One of <see cref="Runtime.HeadDependence.All"/>.</param>
/// <param name="OnlyFull">The live part does without it.</param>
internal sealed record HoistedTensor(string Name, string DependsOn, bool OnlyFull = false);
