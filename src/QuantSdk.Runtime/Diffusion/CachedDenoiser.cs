namespace QuantSdk.Runtime;

/// <summary>
/// A model whose deep features are computed at full steps only (DeepCache, 2312.00858): between them a second model, the live part, reads the features
/// where the full one has left them. Both share one binding per shape, which later runs use again; the features themselves never outlive a run.
/// </summary>
/// <param name="full">The whole model, with the cached tensors among its outputs.</param>
/// <param name="live">The live part, with the cached tensors among its inputs.</param>
/// <param name="tensors">The cached tensors.</param>
internal sealed class CachedDenoiser(ModelDenoiser full, ModelSession live, IReadOnlyList<TensorInfo> tensors, CachePlan plan) : IDenoiser
{
    public CachedDenoiserRun Begin(IReadOnlyList<long> sampleShape, IReadOnlyDictionary<string, ModelTensor> conditioning) =>
        new(full.Begin(sampleShape, conditioning), live, tensors, plan);

    IDenoiserRun IDenoiser.Begin(IReadOnlyList<long> sampleShape, IReadOnlyDictionary<string, ModelTensor> conditioning) => Begin(sampleShape, conditioning);
}
