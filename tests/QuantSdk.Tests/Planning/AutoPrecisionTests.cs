using QuantSdk.Planning;
using QuantSdk.Recipes;
using QuantSdk.Runtime;

namespace QuantSdk.Tests.Planning;

/// <summary>Choices on made-up errors, against sums done by hand.</summary>
[TestClass]
public sealed class AutoPrecisionTests
{
    /// <summary>Error, multiply-adds and bytes saved of five groups of one layer each.</summary>
    private static readonly (double Error, long Macs, long Bytes)[] s_groups = [(1e-4, 100, 1000), (4e-4, 1000, 100), (1e-2, 100, 5000), (1e-4, 10, 4000), (3e-4, 100, 900)];

    [TestMethod]
    public void MinSqnr_takes_the_least_error_a_multiply_add_until_the_sum_is_reached()
    {
        // Per multiply-add 1e-6, 4e-7, 1e-4, 1e-5, 3e-6: the order is 1, 0, 4, 3, 2. 30 dB allow 1e-3 in all.
        Quantises(Choose(30, null), 0, 1, 3, 4);
        // 10^-3.2 = 6.3e-4: 4e-4 + 1e-4, then 3e-4 is too much, and 1e-4 is not.
        Quantises(Choose(32, null), 0, 1, 3);
        Quantises(Choose(15, null), 0, 1, 2, 3, 4);
        Quantises(Choose(50, null));
    }

    [TestMethod]
    public void MaxSize_takes_the_least_error_a_byte_until_enough_is_saved()
    {
        // Per byte 1e-7, 4e-6, 2e-6, 2.5e-8, 3.3e-7: the order is 3, 0, 4, 2, 1. The float model has 20 kB.
        Quantises(Choose(null, 0.016), 3);
        Quantises(Choose(null, 0.0155), 0, 3);
        Quantises(Choose(null, 0.014), 0, 2, 3, 4);
        Quantises(Choose(null, 0.02));
        // With both, all that the error allows.
        Quantises(Choose(32, 0.016), 0, 3, 4);
    }

    [TestMethod]
    public void What_an_engine_misses_is_made_up_for()
    {
        // The engine is 3 dB noisier than predicted: 1e-3 becomes 5e-4 for the single errors.
        var choice = Choose(30, null);
        Assert.IsFalse(choice.IsMet(27, 0));
        Assert.IsTrue(choice.IsMet(30, long.MaxValue));
        var next = choice.Next(27, 0, "m");
        Quantises(next, 0, 1);
        // As good as float and still not enough for the gate: less each time, whatever is measured.
        for (var round = 0; round < 4 && next.Quantised.Count > 0; round++)
            next = next.Next(29.99, 0, "m");
        Quantises(next);

        // 300 bytes of nodes were not predicted.
        var size = Choose(null, 0.0151);
        Quantises(size, 0, 3);
        Assert.IsFalse(size.IsMet(0, 15_300));
        Quantises(size.Next(0, 15_300, "m"), 0, 3, 4);
        Assert.AreEqual("QSDK5011", Assert.ThrowsExactly<QuantSdkException>(() => Choose(null, 0.001).Next(0, 9_000, "m")).Code);
    }

    [TestMethod]
    public void Every_layer_is_in_the_plan_or_among_the_kept_with_its_reason()
    {
        var plan = Choose(32, null).Plan;
        CollectionAssert.AreEqual(new[] { "l0", "l1", "l3" }, plan.Layers.Select(l => l.Node).ToArray());
        CollectionAssert.AreEqual(new[] { "l2", "l4" }, plan.Kept.Select(k => k.Node).ToArray());
        Assert.AreEqual("kept in float by Precision=auto: quantised alone it leaves 20.0 dB, too little beside the others for 32 dB (MinSqnr)", plan.Kept[0].Reason);
        Assert.AreEqual(100, plan.Kept[0].Macs);
    }

    [TestMethod]
    public void Auto_needs_an_aim_and_something_to_choose()
    {
        foreach (var metadata in (Dictionary<string, string>[])[new() { ["Precision"] = "auto" }, new() { ["Precision"] = "auto", ["MinSqnr"] = "30", ["Activations"] = "float" }])
            Assert.AreEqual("QSDK1020", Assert.ThrowsExactly<QuantSdkException>(() => RecipeParser.Parse("m", metadata)).Code);
        Assert.AreEqual("size", RecipeParser.Parse("m", new Dictionary<string, string> { ["Precision"] = "auto", ["MaxSize"] = "1" }).OptimizeFor);
        Assert.AreEqual("speed", RecipeParser.Parse("m", new Dictionary<string, string> { ["Precision"] = "auto", ["MinSqnr"] = "1" }).OptimizeFor);
    }

    private static AutoPrecision Choose(double? minSqnr, double? maxSize)
    {
        var layers = s_groups.Select((g, i) => new LayerPlan($"l{i}", "MatMul", "", new TensorPlan($"x{i}", "int8", -1, 1, 1), new WeightPlan($"w{i}", "int8", 1), null, null, g.Macs)).ToArray();
        var groups = s_groups.Select((g, i) => new GroupSensitivity([$"l{i}"], "", "int8/int8", [g.Error / 2, g.Error], g.Error, -10 * Math.Log10(g.Error), g.Macs, g.Bytes)).ToArray();
        var recipe = new Recipe { Name = "m", Precision = "auto", MinSqnr = minSqnr, MaxSize = maxSize };
        return AutoPrecision.Choose(new Plan(2, [], layers, []), new Sensitivity(["a", "b"], 8, groups, 0, 0), recipe, 20_000);
    }

    private static void Quantises(AutoPrecision choice, params int[] groups) => CollectionAssert.AreEquivalent(groups, choice.Quantised.ToArray());
}
