using System.Runtime.InteropServices;
using QuantSdk.Engines.Streaming;
using QuantSdk.Numerics;
using QuantSdk.Onnx;
using QuantSdk.Runtime;
using QuantSdk.Tests.Onnx;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Tests.Engines.Streaming;

/// <summary>Whatever the slabs, the bytes are those of the tensor encoded at once.</summary>
[TestClass]
public sealed class WeightEncoderTests
{
    private static IEnumerable<object[]> Weights =>
        from weight in (object[][])
        [
            // Source shape, axis of its output channels, block size, transposed, elements of a slab.
            [new long[] { 384, 72 }, 1, 32, false, 10_000], [new long[] { 130, 37 }, 1, 16, false, 2_500], [new long[] { 300, 256 }, 1, 0, false, 20_000], [new long[] { 99, 131 }, 1, 0, false, 1_000],
            [new long[] { 256, 96 }, 0, 0, false, 4_000], [new long[] { 64, 16, 3, 3 }, 0, 0, false, 1_500], [new long[] { 30, 20, 3, 3 }, 1, 0, false, 1_000],
            [new long[] { 260, 96 }, 0, 32, true, 3_000], [new long[] { 261, 96 }, 0, 32, true, 3_000], [new long[] { 260, 100 }, 0, 0, true, 3_000], [new long[] { 64, 100 }, 0, 32, true, 1_000_000],
        ]
        from format in (object[])[new IntFormat(4, 0), new IntFormat(4, 0, true), new IntFormat(2, 0, true), new IntFormat(8, 0)]
        from type in (DataType[])[DataType.Float, DataType.Float16, DataType.Bfloat16]
        where type == DataType.Float || ((IntFormat)format).ZeroPoint
        select (object[])[.. weight, format, type];

    [TestMethod]
    [DynamicData(nameof(Weights))]
    public void Slabs_give_the_bytes_of_the_whole(long[] dims, int axis, int blockSize, bool transposed, int slab, object boxed, object boxedType)
    {
        var (format, type) = ((IntFormat)boxed with { BlockSize = blockSize }, (DataType)boxedType);
        var values = TestModels.Random((int)dims.Aggregate((a, b) => a * b), 5);
        var raw = type switch
        {
            DataType.Float => MemoryMarshal.AsBytes(values.AsSpan()).ToArray(),
            DataType.Float16 => MemoryMarshal.AsBytes(Array.ConvertAll(values, v => (Half)v).AsSpan()).ToArray(),
            _ => MemoryMarshal.AsBytes(Array.ConvertAll(values, v => (ushort)(BitConverter.SingleToUInt32Bits(v) >> 16)).AsSpan()).ToArray(),
        };
        var tensor = Tensors.Raw("w", type, raw, dims);
        values = type == DataType.Float ? values : tensor.ToFloats();
        using var folder = new TempFolder();
        // The second of two tensors in the file, and the first one twice.
        var model = TestModels.Create([], ["w"], [Tensors.Create("other", new float[1000], 1000), tensor]);
        OnnxFile.Save(model, folder["m.onnx"], folder["m.data"]);
        var headers = OnnxFile.LoadHeaders(folder["m.onnx"], threshold: 0);
        var source = headers.Graph.Initializer[1];
        Assert.AreEqual(DataLocation.External, source.DataLocation);
        var weight = new StreamedWeight("w", source, transposed, axis, format);
        using var reader = new TensorReader(headers.Path);
        using var encoded = new WeightBuffer();
        var encoder = new WeightEncoder(2, slab);
        encoder.Encode(weight, reader.Open(source), encoded, default);
        // Memory that has held something else gives the same.
        encoder.Encode(weight, reader.Open(source), encoded, default);

        long[] stored = transposed ? [dims[1], dims[0]] : dims;
        CollectionAssert.AreEqual(stored, weight.Dims);
        if (transposed)
            values = [.. from k in Enumerable.Range(0, (int)dims[1]) from n in Enumerable.Range(0, (int)dims[0]) select values[(n * dims[1]) + k]];
        var grid = IntBlocks.Grid(values, stored, transposed ? 1 - axis : axis, format);
        CollectionAssert.AreEqual(grid.Scales, encoded.Scales.ToArray());
        CollectionAssert.AreEqual(grid.ZeroPoints ?? [], encoded.ZeroPoints.ToArray());
        CollectionAssert.AreEqual(IntPacking.Pack(IntBlocks.Encode(values, grid), format.Bits), encoded.Codes(0, (int)encoded.CodeBytes).ToArray());
        CollectionAssert.AreEqual(grid.Geometry.ScaleDims, weight.Geometry.ScaleDims);
    }

    [TestMethod]
    public void A_weight_that_is_not_finite_is_named()
    {
        var values = TestModels.Random(64 * 64, 5);
        values[4000] = float.NaN;
        using var reader = new TensorReader("m.onnx");
        using var encoded = new WeightBuffer();
        var tensor = Tensors.Create("blocks.3.weight", values, 64, 64);
        var e = Assert.ThrowsExactly<QuantSdkException>(() => new WeightEncoder(2, 256).Encode(new StreamedWeight(tensor.Name, tensor, false, 1, new IntFormat(4, 16)), reader.Open(tensor), encoded, default));
        Assert.AreEqual("QSDK3040", e.Code);
        StringAssert.Contains(e.Message, "blocks.3.weight");
    }

    [TestMethod]
    public void A_data_file_that_has_shrunk_is_an_error()
    {
        using var folder = new TempFolder();
        OnnxFile.Save(TestModels.Create([], ["w"], [Tensors.Create("w", TestModels.Random(64 * 64, 5), 64, 64)]), folder["m.onnx"], folder["m.data"]);
        var tensor = OnnxFile.LoadHeaders(folder["m.onnx"], threshold: 0).Graph.Initializer[0];
        using var reader = new TensorReader(folder["m.onnx"]);
        var bytes = reader.Open(tensor);
        using (var file = new FileStream(folder["m.data"], FileMode.Open, FileAccess.Write, FileShare.ReadWrite))
            file.SetLength(10_000);
        Assert.AreEqual("QSDK1003", Assert.ThrowsExactly<QuantSdkException>(() => bytes.ReadFloats(0, new float[64 * 64])).Code);
    }
}
