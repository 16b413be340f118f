namespace QuantSdk.Runtime;

/// <summary>
/// The normal numbers of <c>torch.randn(…, generator=torch.Generator("cpu").manual_seed(seed))</c> in float32: equal seeds start from
/// equal noise in Python and here, up to the last bits of logarithm and cosine. <see cref="TorchNoise"/> goes on drawing.
/// </summary>
public static class TorchRandom
{
    /// <summary>Fills a span as a tensor of its length would be filled. The numbers depend on the length, not only on the seed.</summary>
    /// <param name="seed">The seed; torch uses its low 32 bits.</param>
    /// <param name="destination">Receives numbers of mean 0 and variance 1.</param>
    public static void Normal(long seed, Span<float> destination) => new TorchGenerator(seed).Normal(destination);

    /// <summary>A tensor of normal numbers, drawn from one seed.</summary>
    /// <param name="seed">The seed.</param>
    /// <param name="shape">The tensor's dimensions.</param>
    public static ModelTensor Normal(long seed, params ReadOnlySpan<long> shape) => ModelTensor.Build(shape, values => Normal(seed, values));

    /// <summary>A batch in which row i is drawn from <paramref name="firstSeed"/> + i, so that a row does not depend on its batch.</summary>
    /// <param name="firstSeed">The seed of the first row.</param>
    /// <param name="shape">The tensor's dimensions, the rows first.</param>
    public static ModelTensor NormalRows(long firstSeed, params ReadOnlySpan<long> shape)
    {
        if (shape.IsEmpty)
            throw new ArgumentException("A batch needs at least one dimension.", nameof(shape));
        var rows = (int)shape[0];
        return ModelTensor.Build(shape, values =>
        {
            var length = rows == 0 ? 0 : values.Length / rows;
            for (var row = 0; row < rows; row++)
                Normal(firstSeed + row, values.Slice(row * length, length));
        });
    }
}
