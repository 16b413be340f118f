using QuantSdk.Calibration;
using QuantSdk.Recipes;

namespace QuantSdk.Tests.Calibration;

/// <summary>The estimators see a histogram; brute force sees the raw data.</summary>
[TestClass]
public sealed class RangeEstimatorTests
{
    [TestMethod]
    public void Max_is_the_observed_range_widened_to_zero()
    {
        Assert.AreEqual(new CalibratedRange(new ValueRange(0, 3), 3), Estimate("max", [2, 3]));
        Assert.AreEqual(new CalibratedRange(new ValueRange(-5, 3), 5), Estimate("max", [-5, 3]));
    }

    [TestMethod]
    [DataRow(99.0)]
    [DataRow(99.9)]
    [DataRow(99.99)]
    public void Percentile_agrees_with_sorting_the_data(double percentile)
    {
        var data = Gaussian(200_000, 3);
        var sorted = data.Select(MathF.Abs).Order().ToArray();
        var expected = sorted[(int)Math.Ceiling(sorted.Length * percentile / 100) - 1];
        var amax = RangeEstimator.Create(new Recipe { Name = "test", Calibrator = "percentile", Percentile = percentile }).Estimate(Histogram(data), []).Amax;
        // One bin is 1/128 of its octave.
        Assert.AreEqual(expected, amax, expected / 128);
    }

    [TestMethod]
    [DataRow(1)]
    [DataRow(2)]
    public void Entropy_finds_the_same_minimum_as_the_search_over_raw_data(int seed)
    {
        // A heavy tail: the KL minimum lies well inside the range.
        var data = Gaussian(400_000, seed).Select(x => x * MathF.Abs(x)).ToArray();
        var absolute = data.Max(MathF.Abs);
        var bins = new double[EntropyEstimator.Bins];
        foreach (var value in data)
            bins[Math.Min(EntropyEstimator.Bins - 1, (int)(Math.Abs(value) / absolute * EntropyEstimator.Bins))]++;
        var best = Enumerable.Range(128, EntropyEstimator.Bins - 127).MinBy(c => BruteForceDivergence(bins, c));
        var amax = Estimate("entropy", data).Amax;
        Assert.IsLessThan(0.95f, amax / absolute, "a search that returns the maximum is no search");
        // Spreading wide bins smooths the histogram; the flat region around the minimum is a few percent wide.
        Assert.AreEqual(best / (double)EntropyEstimator.Bins, amax / absolute, 0.04);
        var least = BruteForceDivergence(bins, best);
        var found = BruteForceDivergence(bins, (int)Math.Round(amax / absolute * EntropyEstimator.Bins));
        Assert.IsLessThan(least * 1.1 + 1e-4, found, "the range found loses hardly more information than the best one");
    }

    [TestMethod]
    public void Entropy_of_quantised_levels_is_lossless_by_closed_form()
    {
        // 128 occupied bins, one a level: Q reproduces P exactly, KL = 0.
        var bins = new double[EntropyEstimator.Bins];
        for (var i = 0; i < 128; i++)
            bins[i * 16 + 5] = i + 1;
        Assert.AreEqual(0, EntropyEstimator.Divergence(bins, 2048), 1e-12);
        // One mass point clipped: P = (1), Q = (1).
        var single = new double[EntropyEstimator.Bins];
        single[3] = 10;
        Assert.AreEqual(0, EntropyEstimator.Divergence(single, 128), 1e-12);
    }

    [TestMethod]
    [DataRow("gaussian")]
    [DataRow("outliers")]
    [DataRow("silu")]
    [DataRow("uniform")]
    public void Mse_is_within_two_percent_of_the_best_range_on_raw_data(string shape)
    {
        var data = Gaussian(20_000, 7).Select((x, i) => shape switch
        {
            "outliers" => i % 2000 == 0 ? x * 20 : x,
            "silu" => x * 2 / (1 + MathF.Exp(-x * 2)),
            "uniform" => MathF.Tanh(x) ,
            _ => x,
        }).ToArray();
        float min = Math.Min(0, data.Min()), max = Math.Max(0, data.Max());
        var best = double.PositiveInfinity;
        for (var a = 0; a < 40; a++)
        {
            for (var b = 0; b < 40; b++)
                best = Math.Min(best, Error(data, min * (1 - a * 0.022f), max * (1 - b * 0.022f)));
        }
        var range = Estimate("mse", data).Range;
        Assert.IsLessThanOrEqualTo(best * 1.02, Error(data, range.Low, range.High), $"[{range.Low}, {range.High}] of [{min}, {max}]");
        var bestSymmetric = Enumerable.Range(0, 200).Min(k => SymmetricError(data, Math.Max(-min, max) * (1 - k * 0.0045f)));
        Assert.IsLessThanOrEqualTo(bestSymmetric * 1.02, SymmetricError(data, Estimate("mse", data).Amax));
    }

    [TestMethod]
    [DataRow("max")]
    [DataRow("percentile")]
    [DataRow("entropy")]
    [DataRow("mse")]
    public void Order_of_the_data_does_not_matter(string name)
    {
        var data = Gaussian(10_000, 9);
        Assert.AreEqual(Estimate(name, data), Estimate(name, [.. data.Reverse()]));
    }

    [TestMethod]
    [DataRow("max")]
    [DataRow("percentile")]
    [DataRow("entropy")]
    [DataRow("mse")]
    public void Zeros_alone_give_an_empty_range(string name) => Assert.AreEqual(new CalibratedRange(new ValueRange(0, 0), 0), Estimate(name, new float[100]));

    [TestMethod]
    [DataRow("percentile")]
    [DataRow("entropy")]
    [DataRow("mse")]
    public void A_range_never_exceeds_what_was_observed(string name)
    {
        var data = Gaussian(5_000, 11).Select(x => x < 0 ? x * 0.1f : x).ToArray();
        var result = Estimate(name, data);
        Assert.IsGreaterThanOrEqualTo(data.Min(), result.Range.Low);
        Assert.IsLessThanOrEqualTo(data.Max(), result.Range.High);
        Assert.IsGreaterThan(0f, result.Amax);
    }

    private static CalibratedRange Estimate(string name, float[] data) => RangeEstimator.Create(new Recipe { Name = "test", Calibrator = name, Percentile = 99.9 }).Estimate(Histogram(data), []);

    private static Bf16Histogram Histogram(float[] data)
    {
        var histogram = new Bf16Histogram();
        histogram.Add(data);
        return histogram;
    }

    private static float[] Gaussian(int count, int seed)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, count).Select(_ => (float)(Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble())))];
    }

    private static double Error(float[] data, float low, float high)
    {
        var scale = (high - low) / 255;
        var zero = MathF.Round(-low / scale);
        return data.Sum(x => Squared(data.Length, x, (Math.Clamp(MathF.Round(x / scale) + zero, 0, 255) - zero) * scale, -zero * scale, (255 - zero) * scale));
    }

    private static double SymmetricError(float[] data, float amax) => data.Sum(x => Squared(data.Length, x, Math.Clamp(MathF.Round(x / (amax / 127)), -127, 127) * (amax / 127), -amax, amax));

    /// <summary>Clipping counts four times.</summary>
    private static double Squared(int count, float x, float q, float low, float high) => Math.Pow(x - q, 2) * (x < low || x > high ? MseEstimator.Weight(count) : 1);

    /// <summary>Written from the definition, on plain arrays: P clipped with its tail, Q from 128 levels over occupied bins.</summary>
    private static double BruteForceDivergence(double[] bins, int candidate)
    {
        var p = bins[..candidate].ToArray();
        p[^1] += bins[candidate..].Sum();
        var q = new double[candidate];
        for (var level = 0; level < 128; level++)
        {
            int start = candidate * level / 128, end = candidate * (level + 1) / 128;
            var occupied = Enumerable.Range(start, end - start).Where(i => bins[i] > 0).ToArray();
            var mass = bins[start..end].Sum();
            foreach (var i in occupied)
                q[i] = mass / occupied.Length;
        }
        double sumP = p.Sum(), sumQ = q.Sum();
        return Enumerable.Range(0, candidate).Where(i => p[i] > 0).Sum(i => q[i] > 0 ? p[i] / sumP * Math.Log(p[i] / sumP / (q[i] / sumQ)) : p[i] / sumP * Math.Log(p[i] / sumP / (1e-4 / sumQ)));
    }
}
