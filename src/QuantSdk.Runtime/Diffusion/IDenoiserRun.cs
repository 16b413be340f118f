namespace QuantSdk.Runtime;

/// <summary>A run of an <see cref="IDenoiser"/>: one batch shape, one conditioning, many steps.</summary>
public interface IDenoiserRun : IDisposable
{
    /// <summary>Where the loop writes the noisy batch before each <see cref="Predict"/>: as many elements as the shape given to <see cref="IDenoiser.Begin"/>.</summary>
    Span<float> Sample { get; }

    /// <summary>Predicts for what <see cref="Sample"/> holds.</summary>
    /// <param name="step">The step within the run, from 0; samplers that evaluate twice a step ask twice for it.</param>
    /// <param name="timestep">The sampler's timestep, not yet scaled for the model.</param>
    /// <param name="cancellationToken">May stop a prediction that works in several parts.</param>
    /// <returns>
    /// The prediction, row after row, valid until the next call. Rows are as long as the sample's, or twice as long:
    /// then the first half is the prediction (the rest is a learned variance).
    /// </returns>
    ReadOnlySpan<float> Predict(int step, float timestep, CancellationToken cancellationToken);
}
