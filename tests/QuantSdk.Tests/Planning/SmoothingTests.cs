using QuantSdk.Calibration;
using QuantSdk.Planning;

namespace QuantSdk.Tests.Planning;

[TestClass]
public sealed class SmoothingTests
{
    [TestMethod]
    public void Channels_that_are_alike_need_nothing() => Assert.IsNull(Smoothing.Factors(Sample(1, 1, 1, 1), [Weights(1, 1, 1, 1)], 127, null));

    [TestMethod]
    public void An_outlying_channel_is_divided_more_than_the_others()
    {
        var factors = Smoothing.Factors(Sample(1, 1, 1, 50), [Weights(1, 1, 1, 1)], 127, null)!;

        Assert.IsGreaterThan(4 * factors[0], factors[3]);
        Assert.AreEqual(factors[0], factors[1], 1e-6f * factors[0]);
    }

    [TestMethod]
    public void One_alpha_is_the_papers_formula_with_geometric_mean_1()
    {
        float[] a = [2, 8, 1, 4], w = [4, 1, 1, 2];
        var factors = Smoothing.Factors(Sample(a), [Weights(w)], 127, 0.5f)!;

        // f_c ∝ √(a_c/w_c).
        for (var c = 0; c < 4; c++)
            Assert.AreEqual(Math.Sqrt(a[c] / w[c]) / Math.Sqrt(a[0] / w[0]), factors[c] / factors[0], 1e-5);
        Assert.AreEqual(1, factors.Aggregate(1.0, (p, f) => p * f), 1e-5);
    }

    [TestMethod]
    public void Weights_of_few_bits_take_less_of_the_difficulty()
    {
        var (sample, weights) = (Sample(1, 1, 1, 50), Weights(1, 1, 1, 1));
        float Spread(float[]? f) => f is null ? 1 : f[3] / f[0];

        Assert.IsLessThan(Spread(Smoothing.Factors(sample, [weights], 127, null)), Spread(Smoothing.Factors(sample, [weights], 7, null)));
    }

    /// <summary>Channels alike but for chance, and little data: what one half recommends does not help the other.</summary>
    [TestMethod]
    public void A_few_rows_of_like_channels_are_not_smoothed()
    {
        var random = new Random(5);
        var positions = Enumerable.Range(0, 64 * 32).Select(_ => (float)Math.Log(random.NextDouble() / (1 - random.NextDouble()))).ToArray();
        float[] Extreme(Func<IEnumerable<float>, float> of) => [.. Enumerable.Range(0, 32).Select(c => of(positions.Where((_, i) => i % 32 == c)))];
        var sample = new ChannelSample(32, Extreme(Enumerable.Min), Extreme(Enumerable.Max), positions, 64);

        Assert.IsNull(Smoothing.Factors(sample, [Weights([.. Enumerable.Repeat(1f, 32)])], 127, null));
    }

    /// <summary>Two positions at both ends of each channel.</summary>
    private static ChannelSample Sample(params float[] amax) => new(amax.Length, [.. amax.Select(x => -x)], amax, [.. amax.Select(x => -x), .. amax], 100_000);

    /// <summary>One output.</summary>
    private static InputWeights Weights(params float[] w) => new(1, w.Length, 1, 1, w, [.. w.Select(x => (double)x * x)]);
}
