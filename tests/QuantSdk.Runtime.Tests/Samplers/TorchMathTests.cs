using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using System.Security.Cryptography;

namespace QuantSdk.Runtime.Tests;

/// <summary>Against PyTorch 2.11 (MKL 2024.2) and NumPy 2.5 on an Intel Xeon with AVX-512, over all the numbers of a range whose bit pattern is a multiple of some stride.</summary>
[TestClass]
public sealed class TorchMathTests
{
    /// <summary>torch.sqrt and t ** 0.5 from 1 to 4: 12326 of these numbers are below the nearest, none above.</summary>
    [TestMethod]
    public void Roots_are_torchs_to_the_bit()
    {
        Assert.AreEqual("eeca95707f221a772c102483dd7813977c77d48aade4fde228e5c3c3ff53fb4b", Hash(1, 4, 8, TorchMath.Sqrt));
        Assert.AreEqual((0, 12326), Misses(1, 4, 8, TorchMath.Sqrt, x => Math.Sqrt(x)));
    }

    /// <summary>How many results are larger and smaller, by magnitude, than the nearest float32: being off by chance in as many cases and directions is next to impossible.</summary>
    [TestMethod]
    public void Exponentials_miss_the_nearest_number_as_often_as_torchs()
    {
        var (larger, smaller) = Misses(-0.0625f, -4, 32, TorchMath.Exp, Math.Exp);
        AssertNear(15485, 2662, larger, smaller);
        (larger, smaller) = Misses(0.0625f, 4, 32, TorchMath.Exp, Math.Exp);
        AssertNear(13226, 3010, larger, smaller);

        static void AssertNear(int torchLarger, int torchSmaller, int larger, int smaller)
        {
            Assert.AreEqual(torchLarger, larger, 40);
            Assert.AreEqual(torchSmaller, smaller, 40);
        }
    }

    /// <summary>numpy.log from 1/8 to 32: 14 % of these numbers are not the nearest, some by 3 units in the last place.</summary>
    [TestMethod]
    public void Logarithms_are_numpys_to_the_bit() =>
        Assert.AreEqual("3de9fdeca7f6b356802ef5fcf1e4178e18d34d5b0091a6733a672b423f1c0063", Hash(0.125f, 32, 64, NumPyMath.Log));

    [TestMethod]
    public void Approximate_inverse_roots_are_those_of_the_instruction()
    {
        var random = new Random(1);
        for (var i = 0; i < 200_000; i++)
        {
            var x = BitConverter.Int32BitsToSingle(i < 1 << 16 ? (127 << 23) + (i << 8) + (i & 1) : random.Next(1 << 23, 255 << 23));
            var inverse = ReciprocalRoot14.Of(x);
            Assert.AreEqual(1, inverse * Math.Sqrt(x), Math.Pow(2, -14), $"{x:R}"); // what Intel's manual promises
            if (Avx512F.IsSupported)
                Assert.AreEqual(Avx512F.ReciprocalSqrt14Scalar(Vector128.CreateScalar(x)).ToScalar(), inverse, $"{x:R}");
        }
    }

    [TestMethod]
    [DataRow(0f), DataRow(-0f), DataRow(-1f), DataRow(float.NaN), DataRow(float.PositiveInfinity), DataRow(float.NegativeInfinity), DataRow(1e-40f)]
    public void Ends_of_the_range_are_those_of_ieee(float x)
    {
        Assert.AreEqual(MathF.Sqrt(x), TorchMath.Sqrt(x));
        Assert.AreEqual(MathF.Exp(x), TorchMath.Exp(x));
        Assert.AreEqual(MathF.Log(x), NumPyMath.Log(x));
    }

    [TestMethod]
    public void Large_and_small_numbers_stay_near()
    {
        for (var x = 1e-37f; x < 1e37f; x *= 1.7f)
        {
            Assert.AreEqual(Math.Sqrt(x), TorchMath.Sqrt(x), 1e-7 * Math.Sqrt(x));
            Assert.AreEqual(Math.Log(x), NumPyMath.Log(x), 3e-7 * Math.Max(1, Math.Abs(Math.Log(x))));
        }
        for (var x = -86.9f; x < 87; x += 0.37f)
            Assert.AreEqual(Math.Exp(x), TorchMath.Exp(x), 1e-7 * Math.Exp(x));
    }

    private static IEnumerable<float> Numbers(float from, float to, int stride)
    {
        for (var bits = BitConverter.SingleToUInt32Bits(from); bits < BitConverter.SingleToUInt32Bits(to); bits += (uint)stride)
            yield return BitConverter.UInt32BitsToSingle(bits);
    }

    private static string Hash(float from, float to, int stride, Func<float, float> computed) =>
        Convert.ToHexStringLower(SHA256.HashData(MemoryMarshal.AsBytes<float>(Numbers(from, to, stride).Select(computed).ToArray())));

    private static (int Larger, int Smaller) Misses(float from, float to, int stride, Func<float, float> computed, Func<double, double> exact)
    {
        var (larger, smaller) = (0, 0);
        foreach (var x in Numbers(from, to, stride))
        {
            var (result, nearest) = (MathF.Abs(computed(x)), MathF.Abs((float)exact(x)));
            larger += result > nearest ? 1 : 0;
            smaller += result < nearest ? 1 : 0;
        }
        return (larger, smaller);
    }
}
