namespace QuantSdk.Runtime.Tests;

[TestClass]
public sealed class CacheScheduleTests
{
    /// <summary>MagCache's published ratios of FLUX, 28 steps.</summary>
    private static readonly double[] Flux =
    [
        1.0, 1.21094, 1.11719, 1.07812, 1.0625, 1.03906, 1.03125, 1.03906, 1.02344, 1.03125, 1.02344, .98047, 1.01562, 1.00781,
        1.0, 1.00781, 1.0, 1.00781, 1.0, 1.0, .99609, .99609, .98047, .98828, .96484, .95703, .93359, .89062,
    ];

    [TestMethod]
    [DataRow(50, 5, "0 5 10 15 20 25 30 35 40 45")]
    [DataRow(28, 3, "0 3 6 9 12 15 18 21 24 27")]
    [DataRow(4, 1, "0 1 2 3")]
    [DataRow(4, 9, "0")]
    public void Every_nth_step_from_the_first(int steps, int interval, string full) =>
        Assert.AreEqual(full, Text(CacheSchedule.Every(interval), steps));

    /// <summary>DeepCache's own code, run with numpy 1.24.</summary>
    [TestMethod]
    [DataRow(50, 10, 15, 1.4, "0 5 9 13 17 21 26 31 37 43")]
    [DataRow(50, 10, 10, 1.5, "0 4 7 10 14 19 24 30 36 43")]
    [DataRow(50, 17, 15, 1.3, "0 3 6 8 11 13 15 17 20 23 26 29 32 35 39 42 46")]
    [DataRow(50, 13, 15, 1.4, "0 4 7 10 14 16 19 23 27 31 35 40 45")]
    [DataRow(30, 6, 10, 1.4, "0 5 9 13 18 23")]
    [DataRow(30, 10, 10, 1.4, "0 3 6 8 10 13 16 19 22 26")]
    [DataRow(20, 4, 5, 1.4, "0 4 8 13")]
    [DataRow(250, 25, 110, 1.2, "0 11 22 32 43 53 62 72 81 91 99 108 116 125 134 144 153 163 173 184 194 205 216 227 238")]
    [DataRow(50, 10, 0, 1.4, "0 1 5 9 13 18 24 30 36 43")]
    public void Quadratic_schedules_are_DeepCaches(int steps, int count, double center, double power, string full) =>
        Assert.AreEqual(full, Text(CacheSchedule.Quadratic(count, center, power), steps));

    [TestMethod]
    public void Quadratic_schedules_of_the_golden_file()
    {
        var golden = TestData.Json("samplers_extra.json");
        foreach (var (name, steps, count, center, power) in new[] { ("T50_k10_c15_p1.4", 50, 10, 15, 1.4), ("T250_k50_c110_p1.4", 250, 50, 110, 1.4) })
        {
            var full = golden.GetProperty("deepcache_nonuniform_ref_" + name).GetProperty("idx").EnumerateArray().Select(index => index.GetInt32());
            Assert.AreEqual(string.Join(' ', full), Text(CacheSchedule.Quadratic(count, center, power), steps));
        }
    }

    [TestMethod]
    [DataRow(0.06, 3, 0.2, "0 1 2 3 4 5 7 9 13 17 21 24 26 27")]
    [DataRow(0.24, 5, 0.1, "0 1 2 5 9 15 21 26")]
    public void MagCaches_decisions_are_made_beforehand(double threshold, int longestSkip, double retention, string full) =>
        Assert.AreEqual(full, Text(CacheSchedule.MagCache(Flux, threshold, longestSkip, retention), 28));

    [TestMethod]
    public void Ratios_of_another_number_of_steps_are_the_nearest()
    {
        // 55 steps hit every ratio of the table at even steps.
        var doubled = Enumerable.Range(0, 55).Select(step => Flux[(int)Math.Round(step / 2.0)]).ToArray();
        Assert.AreEqual(Text(CacheSchedule.MagCache(doubled), 55), Text(CacheSchedule.MagCache(Flux), 55));
        Assert.AreEqual("0", Text(CacheSchedule.MagCache(Flux), 1));
    }

    [TestMethod]
    public void A_list_is_sorted_and_begins_with_the_first_step()
    {
        Assert.AreEqual("0 2 7", Text(CacheSchedule.Explicit(7, 2, 7, 12), 10));
        Assert.AreEqual("0", Text(CacheSchedule.Explicit(), 10));
        Assert.IsTrue(CacheSchedule.Explicit(4).IsFull(4, 5));
        Assert.IsFalse(CacheSchedule.Explicit(4).IsFull(3, 5));
    }

    [TestMethod]
    public void A_built_schedule_is_the_nearest_interval_and_stretched()
    {
        var built = new CacheInfo("up_blocks.2",
        [
            new(30, [0, 2, 5, 8, 11, 14, 17, 20, 24, 28], 0.04), new(30, [0, 3, 7, 12, 18, 25], 0.1), new(60, [0, 1, 9, 30, 40, 50, 52, 54, 56, 57, 58, 59], 0.2),
        ]);
        Assert.AreEqual("0 2 5 8 11 14 17 20 24 28", Text(CacheSchedule.Built(3), 30, built));
        Assert.AreEqual("0 3 7 12 18 25", Text(CacheSchedule.Built(5), 30, built));
        Assert.AreEqual("0 2 4 8 12 16", Text(CacheSchedule.Built(5), 20, built)); // ⌊index·20/30⌋
        Assert.AreEqual("0 1 2 3", Text(CacheSchedule.Built(3), 4, built)); // merged where they fall together
        Tensors.Refuses("QSDK7051", () => CacheSchedule.Built().FullSteps(30));
        Tensors.Refuses("QSDK7051", () => CacheSchedule.Built().FullSteps(30, new CacheInfo("up_blocks.2", [])));
    }

    [TestMethod]
    public void What_cannot_be_laid_out_is_refused()
    {
        Tensors.Refuses("QSDK7050", () => CacheSchedule.Every(0));
        Tensors.Refuses("QSDK7050", () => CacheSchedule.Explicit(3, -1));
        Tensors.Refuses("QSDK7050", () => CacheSchedule.Quadratic(0, 15, 1.4));
        Tensors.Refuses("QSDK7050", () => CacheSchedule.Quadratic(10, -1, 1.4));
        Tensors.Refuses("QSDK7050", () => CacheSchedule.Quadratic(10, 15, 1));
        Tensors.Refuses("QSDK7050", () => CacheSchedule.Quadratic(10, 15, double.NaN));
        Tensors.Refuses("QSDK7050", () => CacheSchedule.MagCache([]));
        Tensors.Refuses("QSDK7050", () => CacheSchedule.MagCache(Flux, threshold: 0));
        Tensors.Refuses("QSDK7050", () => CacheSchedule.Built(0.5));
        Tensors.Refuses("QSDK7050", () => CacheSchedule.Every(3).Extrapolated(1.5));
        Tensors.Refuses("QSDK7050", () => CacheSchedule.Every(3).Extrapolated(double.NaN));
        Tensors.Refuses("QSDK7050", () => CacheSchedule.Every(2).FullSteps(0));
        Tensors.Refuses("QSDK7050", () => CacheSchedule.Quadratic(10, 15, 1.4).FullSteps(15));
        Tensors.Refuses("QSDK7050", () => CacheSchedule.Quadratic(29, 10, 1.4).FullSteps(28));
    }

    private static string Text(CacheSchedule schedule, int steps, CacheInfo? built = null) => string.Join(' ', schedule.FullSteps(steps, built));
}
