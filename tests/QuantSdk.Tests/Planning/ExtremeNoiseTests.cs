using QuantSdk.Planning;

namespace QuantSdk.Tests.Planning;

[TestClass]
public sealed class ExtremeNoiseTests
{
    /// <summary>Channels of one distribution differ by chance alone; the share is a ratio of variances, so that it scatters itself.</summary>
    [TestMethod]
    public void Channels_of_one_distribution_differ_by_chance()
    {
        var random = new Random(3);
        var amax = Enumerable.Range(0, 64).Select(_ => Enumerable.Range(0, 512).Max(_ => (float)-Math.Log(1 - random.NextDouble()))).ToArray();

        Assert.IsGreaterThan(0.7, ExtremeNoise.Share(amax, 512));
    }

    [TestMethod]
    public void Channels_that_differ_by_orders_of_magnitude_are_believed() =>
        Assert.IsLessThan(0.03, ExtremeNoise.Share([.. Enumerable.Range(0, 32).Select(i => MathF.Pow(2, i / 4f))], 100_000));

    [TestMethod]
    public void Equal_channels_and_dead_ones_have_nothing_to_tell()
    {
        Assert.AreEqual(1, ExtremeNoise.Share([2, 2, 2], 1000));
        Assert.AreEqual(1, ExtremeNoise.Share([0, 0], 0));
    }
}
