using System.Text.Json;

namespace QuantSdk.Runtime.Tests;

[TestClass]
public sealed class TorchRandomTests
{
    [TestMethod]
    [DataRow("torch_cpu_randn_seed0_first16_of_16", 0, 16)]
    [DataRow("torch_cpu_randn_seed0_first4_of_4", 0, 4)]
    [DataRow("torch_cpu_randn_seed42_first4_of_16384", 42, 16384)]
    public void Numbers_are_those_of_torch(string name, int seed, int count)
    {
        var expected = TestData.Json("samplers_extra.json").GetProperty(name).EnumerateArray().Select(JsonNumber).ToArray();
        var actual = new float[count];
        TorchRandom.Normal(seed, actual);
        for (var i = 0; i < expected.Length; i++)
            Assert.AreEqual(expected[i], actual[i], 3e-7 * Math.Max(1, Math.Abs(expected[i])), $"number {i}");

        static double JsonNumber(JsonElement value) => value.GetDouble();
    }

    [TestMethod]
    public void A_partial_last_block_is_drawn_anew()
    {
        var (short16, long20) = (new float[16], new float[20]);
        TorchRandom.Normal(7, short16);
        TorchRandom.Normal(7, long20);
        CollectionAssert.AreEqual(short16[..4], long20[..4]); // the first block is transformed in place, and only then redrawn from element 4 on
        CollectionAssert.AreNotEqual(short16[4..], long20[4..16]);
    }

    [TestMethod]
    public void Many_numbers_have_mean_zero_and_variance_one()
    {
        var values = new float[1 << 20];
        TorchRandom.Normal(123, values);
        Assert.AreEqual(0, values.Average(), 0.005);
        Assert.AreEqual(1, values.Average(value => (double)value * value), 0.01);
        Assert.AreEqual(3, values.Average(value => Math.Pow(value, 4)), 0.05);
    }

    [TestMethod]
    public void Rows_have_seeds_of_their_own()
    {
        var rows = TorchRandom.NormalRows(5, 3, 2, 10);
        Assert.AreEqual("float[3,2,10]", rows.ToString());
        for (var row = 0; row < 3; row++)
            Assert.IsTrue(rows.AsSpan<float>().Slice(row * 20, 20).SequenceEqual(TorchRandom.Normal(5 + row, 2, 10).AsSpan<float>()));
    }
}
