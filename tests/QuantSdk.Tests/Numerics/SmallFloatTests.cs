using System.Runtime.InteropServices;
using QuantSdk.Engines;
using QuantSdk.Numerics;
using QuantSdk.Onnx;
using QuantSdk.Tests.Onnx;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Tests.Numerics;

/// <summary>Codes against the formulas of the OCP specifications, and against ONNX Runtime's own conversion.</summary>
[TestClass]
public sealed class SmallFloatTests
{
    private static readonly float[] s_e2m1 = [0, 0.5f, 1, 1.5f, 2, 3, 4, 6, -0f, -0.5f, -1, -1.5f, -2, -3, -4, -6];

    [TestMethod]
    public void Every_E4M3_code_is_the_specifications_number()
    {
        for (var code = 0; code < 256; code++)
        {
            var (sign, exponent, mantissa) = (code >= 128 ? -1 : 1, code / 8 % 16, code % 8);
            var expected = exponent == 15 && mantissa == 7 ? double.NaN : exponent == 0 ? sign * mantissa / 8.0 * Math.Pow(2, -6) : sign * (1 + mantissa / 8.0) * Math.Pow(2, exponent - 7);
            Assert.AreEqual(expected, SmallFloat.E4M3.Values[code], $"code {code}");
        }
        Assert.AreEqual(448, SmallFloat.E4M3.Max);
    }

    [TestMethod]
    public void Every_E5M2_code_is_the_specifications_number()
    {
        for (var code = 0; code < 256; code++)
        {
            var (sign, exponent, mantissa) = (code >= 128 ? -1 : 1, code / 4 % 32, code % 4);
            var expected = exponent == 31
                ? mantissa == 0 ? sign * double.PositiveInfinity : double.NaN
                : exponent == 0 ? sign * mantissa / 4.0 * Math.Pow(2, -14) : sign * (1 + mantissa / 4.0) * Math.Pow(2, exponent - 15);
            Assert.AreEqual(expected, SmallFloat.E5M2.Values[code], $"code {code}");
        }
        Assert.AreEqual(57344, SmallFloat.E5M2.Max);
    }

    [TestMethod]
    public void E2M1_is_the_sixteen_numbers() => CollectionAssert.AreEqual(s_e2m1, SmallFloat.E2M1.Values.ToArray());

    [TestMethod]
    [DataRow("E4M3")]
    [DataRow("E5M2")]
    [DataRow("E2M1")]
    public void Codes_survive_and_what_lies_between_two_goes_to_the_nearer_or_the_even_one(string type)
    {
        var format = Type(type);
        var positive = format.Values.Length / 2;
        for (var code = 0; code < format.Values.Length; code++)
        {
            var value = format.Values[code];
            if (!float.IsFinite(value))
                continue;
            Assert.AreEqual(code, format.Encode(value), $"{value}");
            if ((code + 1) % positive == 0 || !float.IsFinite(format.Values[code + 1]))
                continue;
            // Exact: two neighbours differ in few bits.
            var middle = (value + format.Values[code + 1]) / 2;
            var away = code < positive ? MathF.BitIncrement(middle) : MathF.BitDecrement(middle);
            var towards = code < positive ? MathF.BitDecrement(middle) : MathF.BitIncrement(middle);
            Assert.AreEqual(code % 2 == 0 ? code : code + 1, format.Encode(middle), $"halfway, {middle}");
            Assert.AreEqual(code + 1, format.Encode(away), $"beyond halfway, {away}");
            Assert.AreEqual(code, format.Encode(towards), $"before halfway, {towards}");
        }
    }

    [TestMethod]
    [DataRow("E4M3")]
    [DataRow("E5M2")]
    [DataRow("E2M1")]
    public void Too_large_saturates_and_NaN_is_defined(string type)
    {
        var format = Type(type);
        foreach (var large in (float[])[format.Max * 1.01f, format.Max * 2, float.MaxValue, float.PositiveInfinity])
        {
            Assert.AreEqual(format.Max, format.Values[format.Encode(large)]);
            Assert.AreEqual(-format.Max, format.Values[format.Encode(-large)]);
        }
        var nan = format.Values[format.Encode(float.NaN) & (format.Values.Length / 2 - 1)];
        if (type == "E2M1")
            Assert.AreEqual(6, nan, "a type without NaN");
        else
            Assert.IsTrue(float.IsNaN(nan));
    }

    [TestMethod]
    [DataRow("E4M3", DataType.Float8E4M3Fn)]
    [DataRow("E5M2", DataType.Float8E5M2)]
    public void A_million_random_bit_patterns_convert_as_ONNX_Runtime_converts_them(string type, object onnx)
    {
        var bits = new byte[4 << 20];
        new Random(7).NextBytes(bits);
        var values = MemoryMarshal.Cast<byte, float>(bits).ToArray();
        // Most bit patterns are far out of range: half of them are brought into it.
        for (var i = 0; i < values.Length; i += 2)
            values[i] = MathF.ScaleB((BitConverter.SingleToUInt32Bits(values[i]) & 0xFFFFFF) / 16777216f, (i >> 1) % 40 - 24) * (i % 4 == 0 ? 1 : -1);
        var model = TestModels.Create(
            [TestModels.Input("x", DataType.Float, values.Length)], ["y"], [],
            QuantSdk.Onnx.Nodes.Create("Cast", "", ["x"], ["q"]).With("to", (long)(DataType)onnx).With("saturate", 1L),
            QuantSdk.Onnx.Nodes.Create("Cast", "", ["q"], ["y"]).With("to", (long)DataType.Float));
        model.OpsetImport[0].Version = 21;
        var theirs = OrtEvaluator.TryRun(model, [[Tensors.Vector("x", values)]], ["y"], null)![0][0].ToFloats();
        var format = Type(type);
        var codes = new byte[values.Length];
        format.Encode(values, 1, codes);
        for (var i = 0; i < values.Length; i++)
        {
            var ours = format.Values[codes[i]];
            Assert.IsTrue(BitConverter.SingleToInt32Bits(ours) == BitConverter.SingleToInt32Bits(theirs[i]) || (float.IsNaN(ours) && float.IsNaN(theirs[i])), $"{values[i]}: {ours}, not {theirs[i]}");
        }
    }

    [TestMethod]
    [DataRow("E4M3")]
    [DataRow("E5M2")]
    [DataRow("E2M1")]
    public void Vectors_and_single_values_agree(string type)
    {
        var format = Type(type);
        var bits = new byte[4 * 4099];
        new Random(3).NextBytes(bits);
        var values = MemoryMarshal.Cast<byte, float>(bits).ToArray();
        for (var i = 0; i < 2000; i++)
            values[i] = format.Max * (i - 1000) / 1000;
        values[4098] = float.NaN;
        var codes = new byte[values.Length];
        format.Encode(values, 0.7f, codes);
        for (var i = 0; i < values.Length; i++)
            Assert.AreEqual(format.Encode(values[i] / 0.7f), codes[i], $"{values[i]}");
    }

    [TestMethod]
    public void A_scale_is_never_zero_or_subnormal()
    {
        Assert.AreEqual(2f / 448, SmallFloat.E4M3.Scale(2));
        foreach (var amax in (float[])[0, float.Epsilon, 1e-38f])
            Assert.IsTrue(float.IsNormal(SmallFloat.E5M2.Scale(amax)));
    }

    [TestMethod]
    [DataRow(448f, 127)]
    [DataRow(448.00003f, 128)]
    [DataRow(447f, 127)]
    [DataRow(224f, 126)]
    [DataRow(256f, 127)]
    [DataRow(0.875f, 118)]
    [DataRow(0.8750001f, 119)]
    [DataRow(1f, 119)]
    [DataRow(0f, 0)]
    [DataRow(float.Epsilon, 0)]
    [DataRow(float.MaxValue, 247)]
    public void E8M0_is_the_least_power_of_two_that_fits(float amax, int code)
    {
        Assert.AreEqual(code, E8M0.Ceiling(amax, SmallFloat.E4M3));
        Assert.AreEqual(Math.Pow(2, code - 127), E8M0.Decode((byte)code));
        if (amax > 1e-30f)
            Assert.AreEqual(Math.Ceiling(Math.Log2(amax / 448.0)), code - 127);
    }

    private static SmallFloat Type(string name) => name switch { "E4M3" => SmallFloat.E4M3, "E5M2" => SmallFloat.E5M2, _ => SmallFloat.E2M1 };
}
