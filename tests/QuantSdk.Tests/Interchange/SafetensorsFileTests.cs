using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text;
using QuantSdk.Calibration;
using QuantSdk.Interchange;
using QuantSdk.Runtime;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Tests.Interchange;

/// <summary>The format's bytes, written by hand from its description.</summary>
[TestClass]
public sealed class SafetensorsFileTests
{
    [TestMethod]
    public void A_file_written_by_hand_is_read()
    {
        // Two tensors, listed in another order than their data lies, blanks behind it.
        var header = """{"__metadata__":{"format":"pt"},"b":{"dtype":"I64","shape":[],"data_offsets":[4,12]},"a":{"dtype":"BF16","shape":[2,1],"data_offsets":[0,4]}}   """;
        byte[] file = [(byte)header.Length, 0, 0, 0, 0, 0, 0, 0, .. Encoding.ASCII.GetBytes(header), 0x80, 0x3F, 0x20, 0xC0, 0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF];
        using var folder = new TempFolder();
        File.WriteAllBytes(folder["x.safetensors"], file);
        var arrays = CalibrationFiles.Read([folder["x.safetensors"]], null);
        CollectionAssert.AreEquivalent(new[] { "a", "b" }, arrays.Keys.ToArray());
        Assert.AreEqual(DataType.Float, arrays["a"].Type);
        CollectionAssert.AreEqual(new long[] { 2, 1 }, arrays["a"].Shape.ToArray());
        CollectionAssert.AreEqual(new[] { 1f, -2.5f }, MemoryMarshal.Cast<byte, float>(arrays["a"].Data.Span).ToArray(), "bfloat16 3F80 and C020");
        Assert.AreEqual(DataType.Int64, arrays["b"].Type);
        Assert.AreEqual(-2, BinaryPrimitives.ReadInt64LittleEndian(arrays["b"].Data.Span));
    }

    [TestMethod]
    public void A_file_is_written_as_its_description_says()
    {
        using var stream = new MemoryStream();
        SafetensorsFile.Write(stream, [new("n", "I8", [3], new byte[] { 1, 2, 255 }), new("w", "F32", [1, 2], new byte[] { 0, 0, 128, 63, 0, 0, 0, 64 })], new Dictionary<string, string> { ["format"] = "pt" });
        var header = """{"__metadata__":{"format":"pt"},"w":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},"n":{"dtype":"I8","shape":[3],"data_offsets":[8,11]}}""";
        header = header.PadRight((header.Length + 7) / 8 * 8);
        byte[] expected = [(byte)header.Length, 0, 0, 0, 0, 0, 0, 0, .. Encoding.ASCII.GetBytes(header), 0, 0, 128, 63, 0, 0, 0, 64, 1, 2, 255];
        CollectionAssert.AreEqual(expected, stream.ToArray());
    }

    [TestMethod]
    public void What_is_written_is_read_whatever_the_order_and_the_names()
    {
        var random = new Random(4);
        (string Dtype, int Bytes)[] types = [("F64", 8), ("F32", 4), ("F16", 2), ("BF16", 2), ("I64", 8), ("I32", 4), ("I16", 2), ("I8", 1), ("U64", 8), ("U32", 4), ("U16", 2), ("U8", 1), ("BOOL", 1), ("F8_E4M3", 1), ("F8_E5M2", 1)];
        var tensors = types.Select((t, i) =>
        {
            long[] shape = [.. Enumerable.Range(0, i % 4).Select(_ => (long)random.Next(0, 5))];
            var data = new byte[shape.Aggregate(1L, (a, b) => a * b) * t.Bytes];
            random.NextBytes(data);
            return new SafetensorsTensor($"\"{i}\"·é\\{t.Dtype}:", t.Dtype, shape, data);
        }).ToArray();
        using var stream = new MemoryStream();
        SafetensorsFile.Write(stream, tensors, new Dictionary<string, string>());
        stream.Position = 0;
        var read = SafetensorsFile.Read(stream, "file").ToDictionary(t => t.Name, StringComparer.Ordinal);
        foreach (var tensor in tensors)
        {
            Assert.AreEqual(tensor.Dtype, read[tensor.Name].Dtype);
            CollectionAssert.AreEqual(tensor.Shape.ToArray(), read[tensor.Name].Shape.ToArray());
            CollectionAssert.AreEqual(tensor.Data.ToArray(), read[tensor.Name].Data.ToArray());
        }
        random.Shuffle(tensors);
        using var again = new MemoryStream();
        SafetensorsFile.Write(again, tensors, new Dictionary<string, string>());
        CollectionAssert.AreEqual(stream.ToArray(), again.ToArray());
    }

    [TestMethod]
    [DataRow("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}}""", 8, "overlap", DisplayName = "overlap")]
    [DataRow("""{"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},"b":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}}""", 8, "holes", DisplayName = "hole between")]
    [DataRow("""{"a":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}}""", 8, "holes", DisplayName = "hole before")]
    [DataRow("""{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}""", 8, "it holds 8", DisplayName = "rest behind")]
    [DataRow("""{"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}}""", 4, "it holds 4", DisplayName = "cut off")]
    [DataRow("""{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"a":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}}""", 8, "'a' twice", DisplayName = "twice")]
    [DataRow("""{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,8]}}""", 8, "takes 16 bytes", DisplayName = "shape too large")]
    [DataRow("""{"a":{"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0]}}""", 0, "'a'", DisplayName = "shape that overflows 64 bits")]
    [DataRow("""{"a":{"dtype":"U8","shape":[9223372036854775807,9223372036854775807,4],"data_offsets":[0,4]}}""", 4, "'a'", DisplayName = "shape that overflows 128 bits")]
    [DataRow("""{"a":{"dtype":"U8","shape":[-2,-2],"data_offsets":[0,4]}}""", 4, "'a'", DisplayName = "negative dimensions")]
    [DataRow("""{"a":{"dtype":"U8","shape":[4],"data_offsets":[4,0]}}""", 4, "'a'", DisplayName = "end before begin")]
    [DataRow("""{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4,8]}}""", 4, "'a'", DisplayName = "three offsets")]
    [DataRow("""{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,1e99]}}""", 4, "not understood", DisplayName = "an offset that is no integer")]
    [DataRow("""{"a":{"dtype":"U8","shape":[4]}}""", 4, "not understood", DisplayName = "no offsets")]
    [DataRow("""{"a":{"dtype":8,"shape":[4],"data_offsets":[0,4]}}""", 4, "not understood", DisplayName = "a dtype that is a number")]
    [DataRow("""{"a":[1,2]}""", 0, "not understood", DisplayName = "an entry that is a list")]
    [DataRow("""{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}""", 4, "not understood", DisplayName = "JSON that ends early")]
    [DataRow("""[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]""", 0, "no JSON object", DisplayName = "a list")]
    public void A_malformed_header_is_refused(string header, int dataBytes, string why)
    {
        var error = Assert.ThrowsExactly<QuantSdkException>(() => Read([.. BitConverter.GetBytes((long)header.Length), .. Encoding.ASCII.GetBytes(header), .. new byte[dataBytes]]));
        Assert.AreEqual("QSDK1040", error.Code);
        StringAssert.Contains(error.Message, why);
    }

    [TestMethod]
    [DataRow(0x7FFF_FFFF_FFFF_FFFFL)]
    [DataRow(-1L)]
    [DataRow(100_000_001L)]
    [DataRow(1000L)]
    [DataRow(0L)]
    public void The_headers_size_is_checked_before_anything_is_allocated(long length) =>
        Assert.AreEqual("QSDK1040", Assert.ThrowsExactly<QuantSdkException>(() => Read([.. BitConverter.GetBytes(length), .. "{}      "u8])).Code);

    [TestMethod]
    public void A_dtype_of_another_version_is_named()
    {
        var header = """{"a":{"dtype":"F4","shape":[4],"data_offsets":[0,2]}}""";
        var error = Assert.ThrowsExactly<QuantSdkException>(() => Read([.. BitConverter.GetBytes((long)header.Length), .. Encoding.ASCII.GetBytes(header), 0, 0]));
        Assert.AreEqual("QSDK1012", error.Code);
        StringAssert.Contains(error.Message, "'F4'");
    }

    [TestMethod]
    public void Damage_anywhere_gives_a_coded_error_or_a_file()
    {
        using var stream = new MemoryStream();
        SafetensorsFile.Write(stream, [new("a", "F32", [2, 3], new byte[24]), new("b", "U8", [5], new byte[5])], new Dictionary<string, string> { ["format"] = "pt" });
        var random = new Random(8);
        for (var i = 0; i < 5000; i++)
        {
            var bytes = stream.ToArray();
            for (var hits = random.Next(1, 4); hits > 0; hits--)
                bytes[random.Next(bytes.Length)] = (byte)random.Next(256);
            try
            {
                Read(bytes[..random.Next(1, bytes.Length + 1)]);
            }
            catch (QuantSdkException e)
            {
                CollectionAssert.Contains(new[] { "QSDK1040", "QSDK1012" }, e.Code);
            }
        }
    }

    private static IReadOnlyList<SafetensorsTensor> Read(byte[] bytes)
    {
        using var stream = new MemoryStream(bytes);
        return SafetensorsFile.Read(stream, "file");
    }
}
