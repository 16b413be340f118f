namespace QuantSdk.Runtime;

/// <summary>
/// Where a batch takes its noise from: generators that go on from one call to the next, first the latents and then what stochastic samplers
/// add, as in diffusers' pipelines. Use it for one run.
/// </summary>
public sealed class TorchNoise
{
    private readonly TorchGenerator[] _generators;
    private readonly bool _whole;

    private TorchNoise(TorchGenerator[] generators, bool whole) => (_generators, _whole) = (generators, whole);

    /// <summary>A generator for each row, like diffusers with a list of generators: a row does not depend on its batch.</summary>
    /// <param name="seeds">The seed of each row.</param>
    public static TorchNoise Rows(params IEnumerable<long> seeds) => new([.. seeds.Select(seed => new TorchGenerator(seed))], whole: false);

    /// <summary>One generator that draws all rows at once, like diffusers with a single generator.</summary>
    /// <param name="seed">The seed.</param>
    public static TorchNoise Batch(long seed) => new([new TorchGenerator(seed)], whole: true);

    internal bool Fits(int rows) => _whole || rows == _generators.Length;

    /// <summary>Draws a batch.</summary>
    /// <param name="shape">The batch's dimensions, the rows first.</param>
    /// <exception cref="ArgumentException">There are not as many rows as seeds.</exception>
    public ModelTensor Normal(params ReadOnlySpan<long> shape)
    {
        if (shape.IsEmpty)
            throw new ArgumentException("A batch needs at least one dimension.", nameof(shape));
        var rows = (int)shape[0];
        return ModelTensor.Build(shape, values => Normal(values, rows));
    }

    /// <summary>Draws a batch.</summary>
    /// <param name="batch">Receives numbers of mean 0 and variance 1, row after row.</param>
    /// <param name="rows">The number of rows.</param>
    /// <exception cref="ArgumentException">There are not as many rows as seeds.</exception>
    public void Normal(Span<float> batch, int rows)
    {
        if (_whole)
        {
            _generators[0].Normal(batch);
            return;
        }
        if (!Fits(rows))
            throw new ArgumentException($"The batch has {rows} rows; there are seeds for {_generators.Length}.", nameof(rows));
        var length = batch.Length / rows;
        for (var row = 0; row < rows; row++)
            _generators[row].Normal(batch.Slice(row * length, length));
    }
}
