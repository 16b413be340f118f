using QuantSdk.Caching.Schedules;

namespace QuantSdk.Tests.Caching.Schedules;

[TestClass]
public sealed class DriftTableTests
{
    private const int Steps = 9, Length = 5;

    [TestMethod]
    [DataRow(1, 1.0), DataRow(3, 1.0), DataRow(4, 2.0), DataRow(8, 1.0), DataRow(9, 2.0)]
    public void The_cheapest_schedule_is_that_of_brute_force(int fullSteps, double power)
    {
        for (var seed = 0; seed < 20; seed++)
        {
            var table = Random(seed, window: Steps);
            var brute = Schedules(fullSteps).MinBy(full => Cost(table, full, power))!;
            CollectionAssert.AreEqual(brute, table.Cheapest(fullSteps, power), string.Join(' ', brute));
        }
    }

    [TestMethod]
    public void Reuse_beyond_what_was_measured_is_no_way()
    {
        var table = Random(1, window: 3);
        Assert.IsNull(table.Cheapest(2, 1)); // two full steps leave one to be used 4 steps later at least
        Assert.IsTrue(double.IsPositiveInfinity(table.Predict([0, 5])));
        var full = table.Cheapest(3, 1)!;
        CollectionAssert.AreEqual(Schedules(3).Where(f => double.IsFinite(table.Predict(f))).MinBy(f => Cost(table, f, 1)), full);
    }

    [TestMethod]
    public void A_prediction_is_the_length_of_the_sum_of_carried_errors()
    {
        var table = Random(2, Steps);
        var sum = new double[Length];
        foreach (var (last, step) in new[] { (0, 1), (0, 2), (3, 4), (5, 6), (5, 7), (5, 8) })
            for (var i = 0; i < Length; i++)
                sum[i] += table.Propagation[step] * table.Errors[last, step]![i];
        Assert.AreEqual(Math.Sqrt(sum.Sum(x => x * x)), table.Predict([0, 3, 5]), 1e-5);
        Assert.AreEqual(0, table.Predict([.. Enumerable.Range(0, Steps)]));
    }

    [TestMethod]
    public void Runs_correct_the_prediction_of_similar_schedules()
    {
        // The truth: reuse over the last steps changes twice what the drift says.
        var drift = Random(3, Steps);
        double Truth(int[] full) => drift.Predict(full) * (full.Contains(Steps - 1) ? 1 : 2);
        double Off(ScheduleModel model) => Schedules(4).Average(full => Math.Abs(model.Expected(full) - Math.Log(Truth(full))));
        var nothing = new ScheduleModel(drift, []);
        Assert.AreEqual(Math.Log(drift.Predict([0, 2, 5, 7])), nothing.Expected([0, 2, 5, 7]), 1e-9);
        var seen = Schedules(4).Where((_, i) => i % 2 == 0).Select(full => (full, Truth(full))).ToArray();
        var corrected = new ScheduleModel(drift, seen);
        Assert.IsLessThan(0.5 * Off(nothing), Off(corrected), $"{Off(nothing)} {Off(corrected)}");
        foreach (var (full, change) in seen)
        {
            Assert.AreEqual(Math.Log(change), corrected.Expected(full), 0.1, "what was seen is kept");
            Assert.IsLessThan(nothing.Expected(full) - nothing.Score(full), corrected.Expected(full) - corrected.Score(full), "and gets less credit than the unknown");
        }
    }

    private static double Cost(DriftTable table, int[] full, double power) => Enumerable.Range(0, Steps).Where(step => !full.Contains(step)).Sum(step =>
        table.Errors[full.Last(f => f < step), step] is { } error ? Math.Pow(Math.Abs(table.Propagation[step]) * Math.Sqrt(error.Sum(x => (double)x * x)), power) : double.PositiveInfinity);

    private static DriftTable Random(int seed, int window)
    {
        var random = new Random(seed);
        var errors = new float[]?[Steps, Steps];
        for (var i = 0; i < Steps; i++)
            for (var j = i + 1; j < Steps && j <= i + window; j++)
                errors[i, j] = [.. Enumerable.Range(0, Length).Select(_ => (float)(random.NextDouble() - 0.3) * (j - i))];
        return new DriftTable(errors, [.. Enumerable.Range(0, Steps).Select(_ => random.NextDouble() - 0.2)]);
    }

    /// <summary>Every schedule of that many full steps.</summary>
    private static IEnumerable<int[]> Schedules(int fullSteps)
    {
        for (var bits = 0; bits < 1 << (Steps - 1); bits++)
            if (int.PopCount(bits) == fullSteps - 1)
                yield return [0, .. Enumerable.Range(1, Steps - 1).Where(step => (bits >> (step - 1) & 1) == 1)];
    }
}
