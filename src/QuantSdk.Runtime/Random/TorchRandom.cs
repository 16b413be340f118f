namespace QuantSdk.Runtime;

/// <summary>
/// The normal numbers of <c>torch.randn(…, generator=torch.Generator("cpu").manual_seed(seed))</c> in float32: equal seeds start from
/// equal noise in Python and here, up to the last bits of logarithm and cosine.
/// </summary>
public static class TorchRandom
{
    /// <summary>torch fills by blocks of this many; shorter tensors are drawn one number at a time and differ.</summary>
    private const int Block = 16;

    /// <summary>Fills a span as a tensor of its length would be filled. The numbers depend on the length, not only on the seed.</summary>
    /// <param name="seed">The seed; torch uses its low 32 bits.</param>
    /// <param name="destination">Receives numbers of mean 0 and variance 1.</param>
    public static void Normal(long seed, Span<float> destination)
    {
        var generator = new MersenneTwister((uint)seed);
        if (destination.Length < Block)
            FillShort(generator, destination);
        else
            FillBlocks(generator, destination);
    }

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

    /// <summary>Box-Muller over pairs eight apart, from 24-bit uniforms; a partial last block is drawn anew together with the numbers before it.</summary>
    private static void FillBlocks(MersenneTwister generator, Span<float> values)
    {
        foreach (ref var value in values)
            value = Uniform(generator);
        for (var start = 0; start <= values.Length - Block; start += Block)
            Transform(values.Slice(start, Block));
        if (values.Length % Block == 0)
            return;
        var tail = values[^Block..];
        foreach (ref var value in tail)
            value = Uniform(generator);
        Transform(tail);
    }

    private static float Uniform(MersenneTwister generator) => (generator.Next() & 0xFFFFFF) * (1f / (1 << 24));

    private static void Transform(Span<float> block)
    {
        for (var i = 0; i < Block / 2; i++)
        {
            var radius = MathF.Sqrt(-2 * MathF.Log(1 - block[i]));
            var (sine, cosine) = MathF.SinCos((float)(2 * Math.PI * block[i + Block / 2]));
            (block[i], block[i + Block / 2]) = (radius * cosine, radius * sine);
        }
    }

    /// <summary>Box-Muller from 53-bit uniforms, the cosine first.</summary>
    private static void FillShort(MersenneTwister generator, Span<float> values)
    {
        for (var i = 0; i < values.Length; i += 2)
        {
            var angle = 2 * Math.PI * Uniform53(generator);
            var radius = Math.Sqrt(-2 * LogOnePlus(-Uniform53(generator)));
            values[i] = (float)(radius * Math.Cos(angle));
            if (i + 1 < values.Length)
                values[i + 1] = (float)(radius * Math.Sin(angle));
        }
    }

    /// <summary>log(1 + x) without losing x's low bits; double.LogP1 loses them.</summary>
    private static double LogOnePlus(double x) => 1 + x is var sum && sum == 1 ? x : Math.Log(sum) * (x / (sum - 1));

    private static double Uniform53(MersenneTwister generator)
    {
        ulong high = generator.Next();
        return ((high << 32 | generator.Next()) & (1UL << 53) - 1) * (1.0 / (1UL << 53));
    }
}
