using QuantSdk.Numerics;

namespace QuantSdk.Tests.Numerics;

[TestClass]
public sealed class Int8WeightsTests
{
    [TestMethod]
    public void Scale_is_amax_over_127_and_codes_round_half_to_even()
    {
        // amax 127 makes the scale 1: what is left is rounding. 0.5 → 0, 1.5 → 2, 2.5 → 2, −0.5 → 0, −1.5 → −2.
        var (codes, scales) = Int8Weights.Encode([127, 0.5f, 1.5f, 2.5f, -0.5f, -1.5f, -127], [1, 7], 0);
        CollectionAssert.AreEqual(new[] { 1f }, scales);
        CollectionAssert.AreEqual(new sbyte[] { 127, 0, 2, 2, 0, -2, -127 }, codes);
    }

    [TestMethod]
    [DataRow(0)]
    [DataRow(1)]
    [DataRow(2)]
    public void Every_axis_agrees_with_the_definition(int axis)
    {
        long[] dims = [5, 33, 18];
        var random = new Random(1);
        var weights = Enumerable.Range(0, 5 * 33 * 18).Select(_ => (float)(random.NextDouble() * 2 - 1)).ToArray();
        var (codes, scales) = Int8Weights.Encode(weights, dims, axis);
        int Channel(int i) => axis switch { 0 => i / (33 * 18), 1 => i / 18 % 33, _ => i % 18 };
        for (var c = 0; c < dims[axis]; c++)
            Assert.AreEqual(weights.Where((_, i) => Channel(i) == c).Max(MathF.Abs) / 127, scales[c]);
        for (var i = 0; i < weights.Length; i++)
            Assert.AreEqual(MathF.Round(weights[i] / scales[Channel(i)], MidpointRounding.ToEven), codes[i], $"element {i}");
    }

    [TestMethod]
    public void A_channel_of_zeros_has_a_positive_scale()
    {
        var (codes, scales) = Int8Weights.Encode([0, 0, 1, -2], [2, 2], 0);
        Assert.IsGreaterThan(0f, scales[0]);
        CollectionAssert.AreEqual(new sbyte[] { 0, 0, 64, -127 }, codes);
    }

    [TestMethod]
    public void Subnormal_weights_do_not_make_a_subnormal_scale()
    {
        var (_, scales) = Int8Weights.Encode([float.Epsilon, 0], [1, 2], 0);
        Assert.IsTrue(float.IsNormal(scales[0]));
    }
}
