using QuantSdk.Quality;
using QuantSdk.Recipes;
using QuantSdk.Runtime;

namespace QuantSdk.Tests.Quality;

[TestClass]
public sealed class GatesTests
{
    private static readonly OutputQuality[] s_engine = [new("y", 30, 0.999)], s_cached = [new("y", 15, 0.98)];

    [TestMethod]
    [DataRow(10.0, 0.9, false, null)]
    [DataRow(20.0, 0.9, false, null)] // without cached loops the engine alone is judged
    [DataRow(20.0, 0.9, true, "QSDK5001")]
    [DataRow(10.0, 0.99, true, "QSDK5002")]
    [DataRow(10.0, 0.9, true, null)]
    public void Cached_loops_are_judged_as_the_engine_is(double sqnr, double cosine, bool cached, string? code)
    {
        var missed = Gates.Missed(new Recipe { Name = "m", MinSqnr = sqnr, MinCosine = cosine }, s_engine, 0, "m.onnx", cached ? s_cached : null);
        Assert.AreEqual(code, missed?.Code);
        if (missed is not null)
            Assert.Contains("with every third step full", missed.Message);
    }

    [TestMethod]
    [DataRow(1.2, 1.1, 1.3, 1.25, null)] // the interval reaches the gate
    [DataRow(1.2, 1.1, 1.24, 1.25, "QSDK5020")]
    [DataRow(1.3, 1.26, 1.4, 1.25, null)]
    public void A_speedup_misses_its_gate_where_the_whole_interval_does(double median, double low, double high, double gate, string? code) =>
        Assert.AreEqual(code, Gates.Missed(new Recipe { Name = "m", MinSpeedup = gate }, s_engine, 0, "m.onnx", null, new Speedup(median, low, high, 99))?.Code);

    [TestMethod]
    public void Interval_of_a_median_covers_it_as_often_as_it_says()
    {
        // Ratios drawn from a log-normal distribution around 1.5: 95 % of the intervals hold 1.5.
        var random = new Random(1);
        var covered = 0;
        for (var trial = 0; trial < 2000; trial++)
        {
            var (_, low, high, pairs) = SpeedCheck.Of(Enumerable.Range(0, 15).Select(_ => 1.5 * Math.Exp(0.3 * Normal())));
            Assert.AreEqual(15, pairs);
            covered += low <= 1.5 && 1.5 <= high ? 1 : 0;
        }
        Assert.IsInRange(0.94, 0.985, covered / 2000.0);

        double Normal() => Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());
    }
}
