namespace QuantSdk.Runtime;

/// <summary>What the steps of a sampler read and write: tensors as long as the sample. Values from <see cref="Kept"/> on stay from step to step.</summary>
internal enum Register
{
    /// <summary>The sample x.</summary>
    Sample,

    /// <summary>The model's prediction; only read.</summary>
    Output,

    /// <summary>Unit normal noise; only read.</summary>
    Noise,

    /// <summary>The first register that a sampler may use as it likes.</summary>
    Kept,
}
