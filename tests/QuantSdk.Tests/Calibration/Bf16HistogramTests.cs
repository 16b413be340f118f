using QuantSdk.Calibration;

namespace QuantSdk.Tests.Calibration;

[TestClass]
public sealed class Bf16HistogramTests
{
    [TestMethod]
    [DataRow(0)]
    [DataRow(1)]
    [DataRow(15)]
    [DataRow(1000)]
    [DataRow(100_003)]
    public void Counts_and_extremes_agree_with_brute_force(int count)
    {
        var random = new Random(count);
        var values = Enumerable.Range(0, count).Select(i => (i % 7) switch { 0 => 0f, 1 => -0f, 2 => 1e-20f, _ => (float)(Math.Exp(random.NextDouble() * 20 - 12) * (random.Next(2) * 2 - 1)) }).ToArray();
        var histogram = new Bf16Histogram();
        histogram.Add(values.AsSpan(0, count / 3));
        histogram.Add(values.AsSpan(count / 3));
        Assert.AreEqual(count, histogram.Count);
        Assert.AreEqual(values.Length == 0 ? float.PositiveInfinity : values.Min(), histogram.Min);
        Assert.AreEqual(values.Length == 0 ? float.NegativeInfinity : values.Max(), histogram.Max);
        for (var bin = 0; bin < Bf16Histogram.BinsPerSign; bin++)
        {
            float low = Bf16Histogram.Edge(bin), high = Bf16Histogram.Edge(bin + 1);
            Assert.AreEqual(values.Count(v => bin == 0 ? Math.Abs(v) < high : v >= low && v < high), histogram.Positive[bin], $"[{low}, {high})");
            Assert.AreEqual(values.Count(v => bin > 0 && -v >= low && -v < high), histogram.Negative[bin], $"−[{low}, {high})");
        }
    }

    [TestMethod]
    public void Threads_share_a_histogram()
    {
        var histogram = new Bf16Histogram();
        var values = Enumerable.Range(0, 10_000).Select(i => i * 0.01f - 50).ToArray();
        Parallel.For(0, 64, _ => histogram.Add(values));
        Assert.AreEqual(640_000, histogram.Count);
        long sum = 0;
        for (var bin = 0; bin < Bf16Histogram.BinsPerSign; bin++)
            sum += histogram.Positive[bin] + histogram.Negative[bin];
        Assert.AreEqual(640_000, sum);
    }

    [TestMethod]
    [DataRow(float.NaN, 3)]
    [DataRow(float.PositiveInfinity, 17)]
    [DataRow(float.NegativeInfinity, 32)]
    public void Non_finite_values_are_seen_wherever_they_stand_and_leave_no_trace(float value, int position)
    {
        var values = new float[33];
        values[position] = value;
        var histogram = new Bf16Histogram();
        histogram.Add(values);
        Assert.IsTrue(histogram.HasNonFinite);
        var range = new Bf16Histogram();
        range.AddRange(values);
        Assert.IsTrue(range.HasNonFinite);
        // The thread's tables are shared by all histograms: the next one must find them empty.
        var next = new Bf16Histogram();
        next.Add(new float[] { 1e7f, -1e7f });
        long sum = 0;
        for (var bin = 0; bin < Bf16Histogram.BinsPerSign; bin++)
            sum += next.Positive[bin] + next.Negative[bin];
        Assert.AreEqual(2, sum);
    }

    [TestMethod]
    public void Range_alone_equals_the_full_count()
    {
        var random = new Random(5);
        var values = Enumerable.Range(0, 999).Select(_ => (float)random.NextDouble() - 0.3f).ToArray();
        var (full, range) = (new Bf16Histogram(), new Bf16Histogram());
        full.Add(values);
        range.AddRange(values);
        Assert.AreEqual((full.Min, full.Max, full.Count), (range.Min, range.Max, range.Count));
    }
}
