using QuantSdk.Calibration;
using QuantSdk.Recipes;
using QuantSdk.Runtime;

namespace QuantSdk.Tests.Calibration;

/// <summary>The calibrators that average over batches, on batches made by hand.</summary>
[TestClass]
public sealed class BatchEstimatorTests
{
    /// <summary>Timestep, minimum, maximum.</summary>
    private static readonly (float? Timestep, float Low, float High)[] s_batches = [(1, -1, 2), (2, -2, 8), (1, -3, 4), (3, -10, 1), (2, -2, 4)];

    [TestMethod]
    [DataRow("min-mean", "all", -2, 1, 3)]
    [DataRow("min-max", "all", -2, 1, 4)]
    [DataRow("mean-max", "all", -5, 13 / 3f, 22 / 3f)]
    [DataRow("global-min", "all", -1, 1, 2)]
    [DataRow("min-mean", "1-2", -2, 3, 3)]
    [DataRow("min-max", "1-2", -2, 4, 4)]
    [DataRow("mean-max", "1-2.5", -2.5f, 6, 6)]
    [DataRow("global-min", "2-1e3", -2, 1, 4)]
    [DataRow("min-mean", "3-3", -10, 1, 10)]
    public void Ranges_of_timesteps_have_a_closed_form(string collect, string timesteps, float low, float high, float amax)
    {
        var range = Estimate(new Recipe { Name = "test", Calibrator = "timestep", Collect = collect, Timesteps = timesteps }, s_batches);
        Assert.AreEqual(new CalibratedRange(new ValueRange(low, high), amax), range);
    }

    [TestMethod]
    [DataRow("min-mean")]
    [DataRow("min-max")]
    [DataRow("mean-max")]
    [DataRow("global-min")]
    public void Ranges_of_timesteps_agree_with_plain_loops_and_ignore_the_order(string collect)
    {
        var random = new Random(5);
        var batches = Enumerable.Range(0, 400).Select(_ => ((float?)random.Next(17) * 51, (float)-random.NextDouble() * 7, (float)random.NextDouble() * random.Next(1, 9))).ToArray();
        var recipe = new Recipe { Name = "test", Calibrator = "timestep", Collect = collect, Timesteps = "100-700" };
        var range = Estimate(recipe, batches);
        Assert.AreEqual(Plain(batches.Select(b => (b.Item1!.Value, (double)-b.Item2)), collect), -range.Range.Low, 1e-6);
        Assert.AreEqual(Plain(batches.Select(b => (b.Item1!.Value, (double)b.Item3)), collect), range.Range.High, 1e-6);
        Assert.AreEqual(Plain(batches.Select(b => (b.Item1!.Value, (double)Math.Max(-b.Item2, b.Item3))), collect), range.Amax, 1e-6);
        for (var shuffle = 0; shuffle < 20; shuffle++)
        {
            random.Shuffle(batches);
            Assert.AreEqual(range, Estimate(recipe, batches), "bit for bit");
        }
    }

    [TestMethod]
    public void A_moving_average_starts_with_the_first_batch_even_where_that_is_1()
    {
        var recipe = new Recipe { Name = "test", Calibrator = "ema", Momentum = 0.75 };
        Assert.AreEqual(new CalibratedRange(new ValueRange(-1, 1), 1), Estimate(recipe, [(null, -1, 1)]));
        Assert.AreEqual(new CalibratedRange(new ValueRange(-1.25f, 2), 2), Estimate(recipe, [(null, -1, 1), (null, -2, 5)]));
        // ¾(¾·1 + ¼·2) + ¼·6 and ¾(¾·1 + ¼·5) + ¼·0: a batch with positive values alone ends at 0.
        Assert.AreEqual(new CalibratedRange(new ValueRange(-2.4375f, 1.5f), 3), Estimate(recipe, [(null, -1, 1), (null, -2, 5), (null, -6, -1)]));
        Assert.AreEqual(new CalibratedRange(new ValueRange(-2, 5), 5), Estimate(recipe with { Momentum = 0 }, [(null, -1, 1), (null, -2, 5)]));
    }

    [TestMethod]
    public void A_moving_average_keeps_the_first_batch_with_weight_m_to_the_n_minus_1()
    {
        var batches = Enumerable.Range(0, 20).Select(i => ((float?)null, 0f, i == 0 ? 2f : 1f)).ToArray();
        Assert.AreEqual(1 + Math.Pow(0.9, 19), Estimate(new Recipe { Name = "test", Calibrator = "ema" }, batches).Amax, 1e-6);
    }

    [TestMethod]
    [DataRow("0-")]
    [DataRow("9-3")]
    [DataRow("first")]
    [DataRow("-1-5")]
    [DataRow("0-NaN")]
    [DataRow("1,000-2,000")]
    public void Timesteps_that_are_no_range_are_refused(string text)
    {
        var error = Assert.ThrowsExactly<QuantSdkException>(() => RecipeParser.Parse("unet", new Dictionary<string, string> { ["Timesteps"] = text }));
        Assert.AreEqual("QSDK1020", error.Code);
        StringAssert.Contains(error.Message, "unet");
        StringAssert.Contains(error.Message, text);
    }

    private static double Plain(IEnumerable<(float Timestep, double Value)> batches, string collect)
    {
        var best = collect == "mean-max" ? 0 : double.PositiveInfinity;
        var steps = 0;
        for (var timestep = 0; timestep <= 1000; timestep++)
        {
            double sum = 0, most = 0, least = double.PositiveInfinity;
            var count = 0;
            foreach (var (t, value) in batches)
            {
                if (t != timestep || t < 100 || t > 700)
                    continue;
                sum += value;
                most = Math.Max(most, value);
                least = Math.Min(least, value);
                count++;
            }
            if (count == 0)
                continue;
            steps++;
            switch (collect)
            {
                case "min-mean": best = Math.Min(best, sum / count); break;
                case "min-max": best = Math.Min(best, most); break;
                case "mean-max": best += most; break;
                default: best = Math.Min(best, least); break;
            }
        }
        return collect == "mean-max" ? best / steps : best;
    }

    private static CalibratedRange Estimate(Recipe recipe, (float? Timestep, float Low, float High)[] batches)
    {
        var histogram = new Bf16Histogram();
        foreach (var (_, low, high) in batches)
            histogram.AddRange([low, high]);
        return RangeEstimator.Create(recipe).Estimate(histogram, [.. batches.Select((b, i) => new BatchRange(new BatchKey(i, b.Timestep), new ValueRange(b.Low, b.High)))]);
    }
}
