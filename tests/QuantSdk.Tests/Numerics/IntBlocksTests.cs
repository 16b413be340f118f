using Microsoft.ML.OnnxRuntime;
using QuantSdk.Numerics;
using QuantSdk.Onnx;
using QuantSdk.Runtime;
using QuantSdk.Tests.Onnx;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Tests.Numerics;

/// <summary>Block-wise integer codes against closed forms, against the definition written out one element at a time, and against ONNX Runtime.</summary>
[TestClass]
public sealed class IntBlocksTests
{
    /// <summary>Shape, axis of the output channels, block size: every layout, blocks that do not divide the axis, odd counts.</summary>
    private static IEnumerable<object[]> Layouts =>
    [
        [new long[] { 96, 40 }, 1, 32], [new long[] { 40, 96 }, 0, 32], [new long[] { 100, 37 }, 1, 32], [new long[] { 37, 100 }, 0, 32],
        [new long[] { 70, 19 }, 1, 0], [new long[] { 19, 70 }, 0, 0], [new long[] { 12, 5, 3, 3 }, 0, 0], [new long[] { 6, 20, 3, 3 }, 1, 0],
        [new long[] { 12, 20, 3, 3 }, 0, 8], [new long[] { 3, 64, 24 }, 2, 16], [new long[] { 3, 24, 64 }, 1, 16], [new long[] { 3, 33, 5 }, 2, 0],
        [new long[] { 600, 700 }, 1, 128],
    ];

    private static IEnumerable<object[]> LayoutsAndFormats =>
        from layout in Layouts
        from format in (IntFormat[])[new(4, 0), new(4, 0, true), new(2, 0), new(2, 0, true), new(8, 0), new(8, 0, true), new(4, 0) { NegativeScales = false }, new(4, 0) { SearchClip = true }, new(2, 0, true) { SearchClip = true }, new(4, 0) { Scales = ScaleType.Half }]
        where ((long[])layout[0]).Aggregate((a, b) => a * b) < 10_000 || format.SearchClip
        select (object[])[.. layout, format];

    [TestMethod]
    [DynamicData(nameof(LayoutsAndFormats))]
    public void Grid_and_codes_agree_with_the_definition(long[] dims, int axis, int blockSize, object boxed)
    {
        var format = (IntFormat)boxed with { BlockSize = blockSize };
        var weights = Weights((int)dims.Aggregate((a, b) => a * b));
        var grid = IntBlocks.Grid(weights, dims, axis, format);
        var codes = IntBlocks.Encode(weights, grid);
        var decoded = IntBlocks.Decode(codes, grid);
        var blocks = Blocks(dims, axis, blockSize);
        Assert.HasCount(blocks.Count, grid.Scales);
        Assert.AreEqual(grid.Scales.Length, grid.Geometry.ScaleDims.Aggregate((a, b) => a * b));
        foreach (var (scale, elements) in blocks)
        {
            var values = elements.Select(e => weights[e]).ToArray();
            var (s, z) = (grid.Scales[scale], grid.ZeroPoints?[scale] ?? 0);
            foreach (var e in elements)
            {
                Assert.AreEqual(scale, grid.Geometry.ScaleIndex(e), $"scale of element {e}");
                Assert.AreEqual(Code(weights[e], s, z, format), codes[e], $"element {e}");
                Assert.AreEqual(s * (codes[e] - z), decoded[e]);
            }
            var candidates = Candidates(values, format).ToArray();
            Assert.IsTrue(candidates.Any(c => Close(c.Scale, s) && c.Zero == z), $"scale {s}, zero point {z} is not among {string.Join(' ', candidates)}");
            // The best of the candidates, but for the rounding of sums.
            Assert.IsLessThanOrEqualTo(candidates.Min(c => Error(values, c.Scale, c.Zero, format)) * 1.0001 + 1e-12, Error(values, s, z, format));
        }
    }

    [TestMethod]
    public void A_symmetric_grid_may_end_on_either_side()
    {
        var format = new IntFormat(4, 0);
        // All on the grid of −8 … 7 with step 1; amax/7 could not hit them.
        float[] negative = [-8, 7, 3, -1];
        var grid = IntBlocks.Grid(negative, [1, 4], 0, format);
        Assert.AreEqual(1f, grid.Scales[0]);
        CollectionAssert.AreEqual(new sbyte[] { -8, 7, 3, -1 }, IntBlocks.Encode(negative, grid));
        // Its mirror image needs a negative scale, where the target allows one.
        float[] positive = [8, -7, -3, 1];
        grid = IntBlocks.Grid(positive, [1, 4], 0, format);
        Assert.AreEqual(-1f, grid.Scales[0]);
        CollectionAssert.AreEqual(new sbyte[] { -8, 7, 3, -1 }, IntBlocks.Encode(positive, grid));
        Assert.IsGreaterThan(0f, IntBlocks.Grid(positive, [1, 4], 0, format with { NegativeScales = false }).Scales[0]);
        // Where the plain grid fits exactly it is kept.
        Assert.AreEqual(1f, IntBlocks.Grid([7, -7, 3, -2], [1, 4], 0, format).Scales[0]);
    }

    [TestMethod]
    public void Codes_round_half_to_even() =>
        CollectionAssert.AreEqual(new sbyte[] { 7, 0, 2, 2, 0, -2, -7 }, IntBlocks.Encode([7, 0.5f, 1.5f, 2.5f, -0.5f, -1.5f, -7], IntBlocks.Grid([7, 0.5f, 1.5f, 2.5f, -0.5f, -1.5f, -7], [1, 7], 0, new IntFormat(4, 0)) with { Scales = [1] }));

    [TestMethod]
    public void An_asymmetric_grid_includes_zero()
    {
        // 3 … 18 becomes 0 … 18; −30 … −15 becomes −30 … 0.
        var grid = IntBlocks.Grid([3, 18, 0.6f, 12, -30, -15, -16, -29], [2, 4], 0, new IntFormat(4, 0, ZeroPoint: true));
        CollectionAssert.AreEqual(new[] { 1.2f, 2f }, grid.Scales);
        CollectionAssert.AreEqual(new sbyte[] { -8, 7 }, grid.ZeroPoints);
    }

    [TestMethod]
    public void Importance_moves_the_clip()
    {
        // One large weight on an input that is never used: it is clipped for the others' sake.
        var weights = Weights(64);
        weights[5] = 3;
        var importance = Enumerable.Repeat(1f, 64).ToArray();
        importance[5] = 0;
        var format = new IntFormat(4, 0) { SearchClip = true };
        var plain = IntBlocks.Grid(weights, [1, 64], 0, format);
        var weighted = IntBlocks.Grid(weights, [1, 64], 0, format with { InputWeights = importance });
        Assert.IsLessThan(MathF.Abs(plain.Scales[0]) * 0.7f, MathF.Abs(weighted.Scales[0]));
        // The same in a layout where blocks are columns, and with two blocks an axis.
        float[] columns = [.. weights.SelectMany(w => Enumerable.Repeat(w, 20))];
        Assert.IsTrue(IntBlocks.Grid(columns, [64, 20], 1, format with { InputWeights = importance }).Scales.All(s => s == weighted.Scales[0]));
        var second = IntBlocks.Grid([.. weights.Skip(32).Concat(weights.Take(32))], [1, 64], 0, format with { BlockSize = 32, InputWeights = [.. importance.Skip(32).Concat(importance.Take(32))] });
        Assert.IsLessThan(0.3f, MathF.Abs(second.Scales[1]));
    }

    [TestMethod]
    public void Blocks_of_zeros_and_of_subnormals_have_usable_scales()
    {
        foreach (var format in (IntFormat[])[new(4, 2), new(4, 2, true), new(2, 2), new(8, 2), new(4, 2) { Scales = ScaleType.Half }])
        {
            var grid = IntBlocks.Grid([0, 0, float.Epsilon, 0, -float.Epsilon, 0], [1, 6], 0, format);
            foreach (var scale in grid.Scales)
                Assert.IsTrue(float.IsNormal(scale), $"{format}: {scale}");
            Assert.IsTrue(IntBlocks.Decode(IntBlocks.Encode([0, 0, 0, 0, 0, 0], grid), grid).All(v => v == 0));
        }
    }

    [TestMethod]
    [DataRow(float.NaN)]
    [DataRow(float.PositiveInfinity)]
    public void A_weight_that_is_not_finite_is_refused(float value)
    {
        var weights = Weights(300_000);
        weights[123_456] = value;
        Assert.AreEqual("QSDK3040", Assert.ThrowsExactly<QuantSdkException>(() => IntBlocks.Grid(weights, [1000, 300], 1, new IntFormat(4, 128), "w")).Code);
    }

    [TestMethod]
    public void Threads_do_not_change_the_result()
    {
        var weights = Weights(700 * 600);
        var format = new IntFormat(4, 128) { SearchClip = true };
        var (one, two) = (IntBlocks.Grid(weights, [700, 600], 1, format, threads: 1), IntBlocks.Grid(weights, [700, 600], 1, format, threads: 2));
        CollectionAssert.AreEqual(one.Scales, two.Scales);
        CollectionAssert.AreEqual(IntBlocks.Encode(weights, one, 1), IntBlocks.Encode(weights, two, 2));
    }

    [TestMethod]
    public void Packing_puts_the_first_element_into_the_low_bits()
    {
        CollectionAssert.AreEqual(new byte[] { 0x21, 0x8F, 0x07 }, IntPacking.Pack([1, 2, -1, -8, 7], 4));
        CollectionAssert.AreEqual(new byte[] { 0xA9, 0x07, 0x0F }, IntPacking.Pack([1, 2, -1, -8, 7], 4, unsigned: true));
        CollectionAssert.AreEqual(new byte[] { 0b10_11_01_00, 0b01 }, IntPacking.Pack([0, 1, -1, -2, 1], 2));
        CollectionAssert.AreEqual(new byte[] { 0b00_01_11_10, 0b11 }, IntPacking.Pack([0, 1, -1, -2, 1], 2, unsigned: true));
        CollectionAssert.AreEqual(new byte[] { 0xFF, 0x7F }, IntPacking.Pack([-1, 127], 8));
        // Long enough for the vector path, with a rest.
        foreach (var bits in (int[])[2, 4, 8])
        {
            foreach (var unsigned in (bool[])[false, true])
            {
                var random = new Random(3);
                var codes = Enumerable.Range(0, 1237).Select(_ => (sbyte)random.Next(-(1 << (bits - 1)), 1 << (bits - 1))).ToArray();
                CollectionAssert.AreEqual(codes, IntPacking.Unpack(IntPacking.Pack(codes, bits, unsigned), bits, codes.Length, unsigned), $"{bits} bits, unsigned {unsigned}");
            }
        }
    }

    private static IEnumerable<object[]> OrtLayouts =>
        from layout in Layouts
        from bits in (int[])[4, 2, 8]
        from kind in (string[])["symmetric", "zero point", "unsigned"]
        // A one-dimensional scale belongs to an axis of any rank; a blocked one needs the opset of its type.
        select (object[])[.. layout, bits, kind];

    [TestMethod]
    [DynamicData(nameof(OrtLayouts))]
    public void OnnxRuntime_decodes_our_bytes_to_the_same_floats(long[] dims, int axis, int blockSize, int bits, string kind)
    {
        var weights = Weights((int)dims.Aggregate((a, b) => a * b));
        var grid = IntBlocks.Grid(weights, dims, axis, new IntFormat(bits, blockSize, ZeroPoint: kind != "symmetric"));
        var codes = IntBlocks.Encode(weights, grid);
        var unsigned = kind == "unsigned";
        var type = (bits, unsigned) switch { (2, false) => DataType.Int2, (2, true) => DataType.Uint2, (4, false) => DataType.Int4, (4, true) => DataType.Uint4, (_, false) => DataType.Int8, _ => DataType.Uint8 };
        var geometry = grid.Geometry;
        List<TensorProto> initializers = [Tensors.Raw("q", type, IntPacking.Pack(codes, bits, unsigned), dims), Tensors.Create("s", grid.Scales, geometry.ScaleDims)];
        string[] inputs = ["q", "s"];
        if (grid.ZeroPoints is not null)
        {
            initializers.Add(Tensors.Raw("z", type, IntPacking.Pack(grid.ZeroPoints, bits, unsigned), geometry.ScaleDims));
            inputs = [.. inputs, "z"];
        }
        var node = Nodes.Create("DequantizeLinear", "dq", inputs, ["w"]).With("axis", (long)geometry.Axis);
        if (geometry.BlockSize > 0)
            node.With("block_size", (long)geometry.BlockSize);
        var model = TestModels.Create([], ["w"], initializers, node);
        (model.IrVersion, model.OpsetImport[0].Version) = bits == 2 ? (13, 25) : (10, 21);
        model.Graph.Output[0] = TestModels.Input("w", DataType.Float, dims);
        using var folder = new TempFolder();
        var reloaded = TestModels.Reload(model, folder);
        using var session = new InferenceSession(reloaded.Path);
        using var options = new RunOptions();
        using var results = session.Run(options, [], Array.Empty<OrtValue>(), ["w"]);
        CollectionAssert.AreEqual(IntBlocks.Decode(codes, grid), results[0].GetTensorDataAsSpan<float>().ToArray());
    }

    private static float[] Weights(int count)
    {
        var random = new Random(7);
        return [.. Enumerable.Range(0, count).Select(_ => (float)(Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble())) * 0.1f)];
    }

    /// <summary>The elements of each scale, from indices alone.</summary>
    private static List<(int Scale, int[] Elements)> Blocks(long[] dims, int axis, int blockSize)
    {
        var count = (int)dims.Aggregate((a, b) => a * b);
        long[] Index(int e)
        {
            var index = new long[dims.Length];
            long rest = e;
            for (var d = dims.Length - 1; d >= 0; d--)
                (rest, index[d]) = Math.DivRem(rest, dims[d]);
            return index;
        }
        var reduction = dims.Length == 2 ? 1 - axis : dims.Length == 3 ? 3 - axis : 1;
        IEnumerable<IGrouping<string, int>> groups = Enumerable.Range(0, count).GroupBy(e =>
        {
            var index = Index(e);
            if (blockSize == 0 && dims.Length != 3)
                return $"{index[axis]:d6}";
            index[reduction] /= blockSize == 0 ? dims[reduction] : blockSize;
            return string.Join(',', index.Select(i => $"{i:d6}"));
        });
        return [.. groups.OrderBy(g => g.Key, StringComparer.Ordinal).Select((g, i) => (i, g.ToArray()))];
    }

    private static sbyte Code(float w, float scale, int zero, IntFormat format)
    {
        var low = format is { Bits: 8, ZeroPoint: false } ? -127 : -Math.Pow(2, format.Bits - 1);
        return (sbyte)Math.Clamp(Math.Round((double)(w / scale), MidpointRounding.ToEven) + zero, low, Math.Pow(2, format.Bits - 1) - 1);
    }

    private static IEnumerable<(float Scale, int Zero)> Candidates(float[] values, IntFormat format)
    {
        var (half, steps) = (1 << (format.Bits - 1), (1 << format.Bits) - 1);
        var (low, high) = (Math.Min(0, values.Min()), Math.Max(0, values.Max()));
        var amax = Math.Max(-low, high);
        for (var percent = 100; percent >= (format.SearchClip ? 50 : 100); percent -= 5)
        {
            var ratio = percent / 100f;
            if (format.ZeroPoint)
            {
                var scale = (high - low) / steps * ratio;
                yield return (Stored(scale), (int)Math.Clamp(MathF.Round(-low * ratio / scale, MidpointRounding.ToEven) - half, -half, half - 1));
                continue;
            }
            if (percent == 100 || format.Bits != 4)
                yield return (Stored(amax / (half - 1) * ratio), 0);
            if (format.Bits < 8)
                yield return (Stored((high > -low && format.NegativeScales ? -amax : amax) / half * ratio), 0);
        }
        float Stored(float scale) => format.Scales == ScaleType.Half ? (float)(Half)scale : scale;
    }

    private static double Error(float[] values, float scale, int zero, IntFormat format) => values.Sum(v => Math.Pow(v - (scale * (double)(Code(v, scale, zero, format) - zero)), 2));

    private static bool Close(float a, float b) => Math.Abs(a - b) <= 1e-6f * Math.Abs(a);
}
