using QuantSdk.Numerics;

namespace QuantSdk.Tests.Numerics;

/// <summary>Each format against its definition written out element by element.</summary>
[TestClass]
public sealed class WeightFormatTests
{
    private static readonly long[][] s_shapes = [[24, 7], [7, 24], [5, 3, 3, 3], [40, 70], [1, 1], [3, 257], [2, 50, 7]];

    [TestMethod]
    [DataRow("fp8")]
    [DataRow("fp8-e5m2")]
    [DataRow("mxfp8")]
    [DataRow("nvfp4")]
    [DataRow("nf4")]
    public void Decoded_weights_are_the_definitions_along_every_axis(string name)
    {
        foreach (var dims in s_shapes)
        {
            var weights = Gaussian((int)dims.Aggregate((a, b) => a * b), 11);
            weights[0] = 0;
            for (var axis = 0; axis < dims.Length; axis++)
            {
                var format = WeightFormat.Of(name);
                var encoded = format.Encode(weights, dims, axis);
                CollectionAssert.AreEqual(Definition(name, weights, dims, axis, format.DefaultBlock), format.Decode(encoded), $"{name}, {string.Join('x', dims)}, axis {axis}");
            }
        }
    }

    [TestMethod]
    [DataRow("fp8")]
    [DataRow("fp8-e5m2")]
    [DataRow("mxfp8")]
    [DataRow("nvfp4")]
    [DataRow("nf4")]
    public void Zeros_and_a_weight_among_zeros_stay_what_they_are(string name)
    {
        var format = WeightFormat.Of(name);
        var zeros = format.Encode(new float[200], [2, 100], 0);
        CollectionAssert.AreEqual(new float[200], format.Decode(zeros));
        Assert.IsTrue(format.EffectiveScales(zeros.BlockScales, zeros.Scales).All(s => s > 0 && float.IsFinite(s)));
        // A block far below the largest one is coarse, but a block of zeros beside it is exactly zero.
        var one = new float[200];
        (one[0], one[150]) = (1e-6f, 3);
        var decoded = format.Decode(format.Encode(one, [2, 100], 0));
        Assert.AreEqual(3, decoded[150], 0.05);
        Assert.IsTrue(decoded.Where((_, i) => i is not (0 or 150)).All(v => v == 0));
        Assert.IsGreaterThanOrEqualTo(0f, decoded[0]);
    }

    [TestMethod]
    [DataRow("fp8")]
    [DataRow("mxfp8")]
    [DataRow("nvfp4")]
    [DataRow("nf4")]
    public void Extreme_magnitudes_neither_overflow_nor_make_NaN(string name)
    {
        var format = WeightFormat.Of(name);
        foreach (var magnitude in (float[])[1e38f, 1e-30f, 1e-38f, float.Epsilon])
        {
            var weights = Gaussian(128, 5).Select(w => Math.Clamp(w, -1, 1) * magnitude).ToArray();
            var decoded = format.Decode(format.Encode(weights, [2, 64], 0));
            Assert.IsTrue(decoded.All(float.IsFinite), $"{magnitude}");
            if (magnitude is > 1e-35f)
                Assert.IsGreaterThan(15, Sqnr([.. weights.Select(w => w / magnitude)], [.. decoded.Select(w => w / magnitude)]), $"{magnitude}");
        }
    }

    [TestMethod]
    [DataRow("fp8", 8.03125)]
    [DataRow("mxfp8", 8.25)]
    [DataRow("nvfp4", 4.5)]
    [DataRow("nf4", 4.127)]
    public void Bits_a_weight(string name, double bits) =>
        Assert.AreEqual(bits, WeightFormat.Of(name).Encode(Gaussian(1 << 20, 1), [1024, 1024], 0).BitsPerWeight, 0.0005);

    [TestMethod]
    [DataRow(false)]
    [DataRow(true)]
    public void Per_tensor_fp8_keeps_Gaussian_values_beside_an_outlier(bool outlier)
    {
        var values = Gaussian(1 << 20, 2026);
        if (outlier)
            values[12345] = 1000;
        var format = WeightFormat.Of("fp8");
        var encoded = format.Encode(values, [1024, 1024], null);
        Assert.HasCount(1, encoded.Scales);
        Assert.AreEqual((outlier ? 1000 : values.Max(MathF.Abs)) / 448, encoded.Scales[0]);
        var decoded = format.Decode(encoded);
        if (outlier)
            (values[12345], decoded[12345]) = (0, 0);
        Assert.IsGreaterThanOrEqualTo(31.45, Sqnr(values, decoded));
        Assert.IsLessThanOrEqualTo(0.003, decoded.Count(v => v == 0) / (double)values.Length);
    }

    [TestMethod]
    public void Nvfp4_blocks_are_as_NVIDIA_defines_them()
    {
        // amax 12 gives tensor scale 12/2688; the second block's amax 1.5 gives 1.5/6/tensor scale = 56, which E4M3 holds.
        var weights = new float[32];
        (weights[0], weights[1], weights[16], weights[17], weights[18]) = (12, 5, 1.5f, -0.625f, 0.3125f);
        var encoded = new Nvfp4().Encode(weights, [1, 32], 0);
        Assert.AreEqual(12f / 2688, encoded.Scales[0]);
        Assert.AreEqual(448, SmallFloat.E4M3.Values[encoded.BlockScales[0]]);
        Assert.AreEqual(56, SmallFloat.E4M3.Values[encoded.BlockScales[1]]);
        Assert.AreEqual(16, encoded.Codes.Length);
        // 12 and 5 at scale 2: 6 and 2½, which is halfway and goes to the even code's 2. The first is in the low nibble.
        Assert.AreEqual(0x47, encoded.Codes[0]);
        // −0.625 at scale ¼ is −2½, the even code is −2 (4 with the sign 8); 1¼ goes to 1.
        Assert.AreEqual(0xC7, encoded.Codes[8]);
        Assert.AreEqual(0x02, encoded.Codes[9]);
    }

    [TestMethod]
    public void A_block_of_an_Nvfp4_activation_beyond_the_calibrated_range_saturates()
    {
        var format = new Nvfp4(Nvfp4.TensorScale(1));
        var values = new float[16];
        (values[0], values[1]) = (8, 0.25f);
        CollectionAssert.AreEqual((float[])[1, 0.25f], format.Decode(format.Encode(values, [1, 16], 0))[..2], Comparer(1e-6f));
    }

    [TestMethod]
    public void Nf4_entries_are_the_papers_and_its_double_quantisation_is_close()
    {
        var weights = Gaussian(64 * 1000, 9);
        var encoded = new Nf4().Encode(weights, [1000, 64], 0);
        var maxima = weights.Chunk(64).Select(b => b.Max(MathF.Abs)).ToArray();
        var mean = (float)maxima.Average(m => (double)m);
        Assert.AreEqual(mean, encoded.Scales[0]);
        Assert.HasCount(1 + 4, encoded.Scales);
        var effective = new Nf4().EffectiveScales(encoded.BlockScales, encoded.Scales);
        for (var i = 0; i < maxima.Length; i++)
        {
            var step = maxima.Chunk(256).ElementAt(i / 256).Max(m => MathF.Abs(m - mean)) / 127;
            Assert.AreEqual(maxima[i], effective[i], step * 0.51f);
        }
        Assert.AreEqual(20.2, Sqnr(weights, new Nf4().Decode(encoded)), 0.7);
    }

    /// <summary>Each weight by a search over all codes, scales by their formulas in double precision.</summary>
    private static float[] Definition(string name, float[] weights, long[] dims, int axis, int blockSize)
    {
        var inner = (int)dims.Skip(axis + 1).Aggregate(1L, (a, b) => a * b);
        // Of a stack of matrices, each has its own blocks.
        var matrix = blockSize > 0 && axis == dims.Length - 1 && dims.Length > 2 ? dims[^1] * dims[^2] : weights.Length;
        var channels = weights.Select((_, i) => i).GroupBy(i => i / matrix * dims[axis] + i / inner % dims[axis]).OrderBy(g => g.Key).Select(g => g.ToArray()).ToArray();
        var blocks = channels.SelectMany(c => c.Chunk(blockSize == 0 ? c.Length : blockSize)).ToArray();
        var amax = blocks.Select(b => b.Max(i => MathF.Abs(weights[i]))).ToArray();
        var codes = name switch { "nvfp4" => SmallFloat.E2M1.Values.ToArray(), "fp8-e5m2" => SmallFloat.E5M2.Values.ToArray(), "nf4" => WeightFormat.Of("nf4").Values.ToArray(), _ => SmallFloat.E4M3.Values.ToArray() };
        var fp8 = SmallFloat.E4M3.Values.ToArray();
        var tensor = amax.Max() / 2688;
        var mean = (float)amax.Average(a => (double)a);
        var steps = amax.Chunk(256).Select(c => c.Max(a => MathF.Abs(a - mean)) / 127).Select(s => s > 0 ? s : 1).ToArray();
        var decoded = new float[weights.Length];
        for (var b = 0; b < blocks.Length; b++)
        {
            var scale = name switch
            {
                "fp8" => amax[b] > 0 ? amax[b] / 448 : 1,
                "fp8-e5m2" => amax[b] > 0 ? amax[b] / 57344 : 1,
                "mxfp8" => amax[b] > 0 ? (float)Math.Pow(2, Math.Ceiling(Math.Log2(amax[b] / 448.0))) : 1,
                "nvfp4" => Math.Max(1f / 512, Nearest(fp8, amax[b] / 6 / (tensor > 0 ? tensor : 1))) * (tensor > 0 ? tensor : 1),
                _ => Math.Clamp(MathF.Round((amax[b] - mean) / steps[b / 256]), -127, 127) * steps[b / 256] + mean,
            };
            foreach (var i in blocks[b])
                decoded[i] = Nearest(codes, scale > 0 ? weights[i] / scale : 0) * scale;
        }
        return decoded;
    }

    /// <summary>The nearest value, of two equally near ones the even code's.</summary>
    private static float Nearest(float[] values, float value)
    {
        var best = Enumerable.Range(0, values.Length).Where(c => float.IsFinite(values[c])).MinBy(c => (Math.Abs((double)values[c] - value), c % 2));
        return values[best];
    }

    internal static float[] Gaussian(int count, int seed)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, count).Select(_ => (float)(Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble())))];
    }

    internal static double Sqnr(float[] expected, float[] actual) =>
        10 * Math.Log10(expected.Sum(v => (double)v * v) / expected.Zip(actual, (a, b) => ((double)a - b) * ((double)a - b)).Sum());

    private static System.Collections.IComparer Comparer(float tolerance) =>
        System.Collections.Generic.Comparer<float>.Create((a, b) => Math.Abs(a - b) <= tolerance ? 0 : a.CompareTo(b));
}
