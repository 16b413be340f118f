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

    /// <summary>torch.randn twice on one generator: of 16 numbers or more, the second call goes on with the words behind the first.</summary>
    [TestMethod]
    public void A_generator_goes_on_where_it_ended()
    {
        var (whole, first, second) = (new float[64], new float[32], new float[32]);
        TorchRandom.Normal(5, whole);
        var generator = new TorchGenerator(5);
        generator.Normal(first);
        generator.Normal(second);
        CollectionAssert.AreEqual(whole, first.Concat(second).ToArray()); // 16 at a time, each block from its own 16 words
    }

    /// <summary>A tail draws 16 words anew, so that the next tensor begins 16 words behind the first one's length.</summary>
    [TestMethod]
    public void A_partial_block_takes_its_words_twice()
    {
        var (odd, next) = (new float[20], new float[16]);
        var generator = new TorchGenerator(9);
        generator.Normal(odd);
        generator.Normal(next);
        var reference = Uniforms(9, 52);
        for (var i = 0; i < 8; i++)
        {
            var radius = Math.Sqrt(-2 * Math.Log(1 - reference[36 + i]));
            Assert.AreEqual(radius * Math.Cos(2 * Math.PI * reference[44 + i]), next[i], 2e-6, $"number {i}");
        }
    }

    /// <summary>Fewer than 16 numbers come in pairs; the second of a pair waits for the next short tensor, even behind a long one.</summary>
    [TestMethod]
    public void The_second_of_a_pair_is_kept()
    {
        var four = new float[4];
        TorchRandom.Normal(0, four);
        var generator = new TorchGenerator(0);
        var (one, long16, three) = (new float[1], new float[16], new float[3]);
        generator.Normal(one);
        Assert.AreEqual(four[0], one[0]);
        generator.Normal(three);
        CollectionAssert.AreEqual(four[1..], three);
        var other = new TorchGenerator(0);
        other.Normal(one);
        other.Normal(long16);
        other.Normal(three);
        Assert.AreEqual(four[1], three[0]);
        Assert.AreNotEqual(four[2], three[1]);
    }

    [TestMethod]
    public void A_batch_is_drawn_by_one_generator_or_by_one_for_each_row()
    {
        Assert.IsTrue(TorchNoise.Batch(3).Normal(2, 20).AsSpan<float>().SequenceEqual(TorchRandom.Normal(3, 2, 20).AsSpan<float>()));
        Assert.IsTrue(TorchNoise.Rows(3, 4).Normal(2, 20).AsSpan<float>().SequenceEqual(TorchRandom.NormalRows(3, 2, 20).AsSpan<float>()));
        Assert.ThrowsExactly<ArgumentException>(() => TorchNoise.Rows(3, 4).Normal(3, 20));
    }

    /// <summary>The 24-bit numbers behind a seed, by MT19937 as its authors describe it.</summary>
    private static double[] Uniforms(uint seed, int count)
    {
        var state = new uint[624 + count];
        state[0] = seed;
        for (var i = 1u; i < 624; i++)
            state[i] = 1812433253u * (state[i - 1] ^ state[i - 1] >> 30) + i;
        var values = new double[count];
        for (var i = 0; i < count; i++)
        {
            var mixed = state[i] & 0x80000000u | state[i + 1] & 0x7FFFFFFFu;
            var word = state[i + 624] = state[i + 397] ^ mixed >> 1 ^ (mixed & 1) * 0x9908B0DFu;
            word ^= word >> 11;
            word ^= word << 7 & 0x9D2C5680u;
            word ^= word << 15 & 0xEFC60000u;
            word ^= word >> 18;
            values[i] = (word & 0xFFFFFF) / (double)(1 << 24);
        }
        return values;
    }
}
