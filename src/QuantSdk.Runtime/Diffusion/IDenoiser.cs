namespace QuantSdk.Runtime;

/// <summary>What a diffusion loop asks of a model. Implement it to put something else in the model's place, or around it.</summary>
public interface IDenoiser
{
    /// <summary>Prepares a run.</summary>
    /// <param name="sampleShape">The shape of the batch that each step predicts, the rows first; with guidance it holds the unconditional rows and after them the conditional ones.</param>
    /// <param name="conditioning">The other inputs by name, one row for each row of the batch.</param>
    /// <returns>The run; the loop disposes it.</returns>
    IDenoiserRun Begin(IReadOnlyList<long> sampleShape, IReadOnlyDictionary<string, ModelTensor> conditioning);
}
