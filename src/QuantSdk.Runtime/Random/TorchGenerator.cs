namespace QuantSdk.Runtime;

/// <summary>
/// <c>torch.Generator("cpu").manual_seed(seed)</c>: each call of <see cref="Normal"/> draws what the next <c>torch.randn</c> of that length
/// would draw in float32, up to the last bits of logarithm and cosine.
/// </summary>
/// <param name="seed">The seed; torch uses its low 32 bits.</param>
public sealed class TorchGenerator(long seed)
{
    /// <summary>torch fills by blocks of this many; shorter tensors are drawn one number at a time and differ.</summary>
    private const int Block = 16;

    private readonly MersenneTwister _words = new((uint)seed);

    /// <summary>The second of a pair that a short tensor of odd length left over. torch keeps it for the next short one.</summary>
    private double? _spare;

    /// <summary>Draws the numbers of one tensor.</summary>
    /// <param name="destination">Receives numbers of mean 0 and variance 1; they depend on its length, too.</param>
    public void Normal(Span<float> destination)
    {
        if (destination.Length < Block)
            FillShort(destination);
        else
            FillBlocks(destination);
    }

    /// <summary>Box-Muller over pairs eight apart, from 24-bit uniforms; a partial last block is drawn anew together with the numbers before it.</summary>
    private void FillBlocks(Span<float> values)
    {
        foreach (ref var value in values)
            value = Uniform();
        for (var start = 0; start <= values.Length - Block; start += Block)
            Transform(values.Slice(start, Block));
        if (values.Length % Block == 0)
            return;
        var tail = values[^Block..];
        foreach (ref var value in tail)
            value = Uniform();
        Transform(tail);
    }

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
    private void FillShort(Span<float> values)
    {
        foreach (ref var value in values)
        {
            if (_spare is { } spare)
            {
                (value, _spare) = ((float)spare, null);
                continue;
            }
            var angle = 2 * Math.PI * Uniform53();
            var radius = Math.Sqrt(-2 * LogOnePlus(-Uniform53()));
            (value, _spare) = ((float)(radius * Math.Cos(angle)), radius * Math.Sin(angle));
        }
    }

    /// <summary>log(1 + x) without losing x's low bits; double.LogP1 loses them.</summary>
    private static double LogOnePlus(double x) => 1 + x is var sum && sum == 1 ? x : Math.Log(sum) * (x / (sum - 1));

    private float Uniform() => (_words.Next() & 0xFFFFFF) * (1f / (1 << 24));

    private double Uniform53()
    {
        ulong high = _words.Next();
        return ((high << 32 | _words.Next()) & (1UL << 53) - 1) * (1.0 / (1UL << 53));
    }
}
