using QuantSdk.Caching.Schedules;

namespace QuantSdk.Tests.Caching.Schedules;

[TestClass]
public sealed class PairedTestTests
{
    /// <summary>Student's 99 % quantiles, as tables print them: a mean of so many standard errors is just not, and just, clear.</summary>
    [TestMethod]
    [DataRow(4, 4.541), DataRow(6, 3.365), DataRow(16, 2.602), DataRow(24, 2.500), DataRow(101, 2.364)]
    public void Shares_gained_are_clear_from_the_tabled_quantile_on(int rows, double quantile)
    {
        var random = new Random(rows);
        double[] scatter = [.. Enumerable.Range(0, rows).Select(_ => random.NextDouble())], other = [.. Enumerable.Range(0, rows).Select(_ => random.NextDouble())];
        var mean = scatter.Average();
        var standardError = Math.Sqrt(scatter.Sum(x => Math.Pow(x - mean, 2)) / (rows - 1) / rows);
        Assert.IsFalse(Gain(0.99));
        Assert.IsTrue(Gain(1.01));

        bool Gain(double share) => PairedTest.IsClearlyLess([.. other.Zip(scatter, (o, x) => o / Math.Exp(x - mean + share * quantile * standardError))], other);
    }

    [TestMethod]
    public void One_row_that_gains_a_lot_proves_nothing()
    {
        double[] other = [100, .. Enumerable.Repeat(1.0, 19)], one = [1, .. Enumerable.Repeat(1.1, 19)];
        Assert.IsLessThan(other.Sum() / 4, one.Sum());
        Assert.IsFalse(PairedTest.IsClearlyLess(one, other));
        Assert.IsFalse(PairedTest.IsClearlyLess([1], [2]));
        Assert.IsFalse(PairedTest.IsClearlyLess(other, other));
        Assert.IsFalse(PairedTest.IsClearlyLess([0, 0, 0], [0, 0, 0]));
    }
}
