using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace QuantSdk.Runtime.Tests;

/// <summary>
/// How often results are larger and smaller, by magnitude, than the nearest float32, against counts taken from PyTorch 2.11 (MKL 2024.2) and NumPy 2.5 on an Intel Xeon with AVX-512, over all the
/// numbers of a range whose bit pattern is a multiple of some stride. Being off by chance in as many cases and in the same direction is next to impossible.
/// </summary>
[TestClass]
public sealed class TorchMathTests
{
    [TestMethod]
    public void Roots_miss_the_nearest_number_as_often_as_torchs()
    {
        // torch.sqrt and t ** 0.5, from 1 to 4
        Assert.AreEqual((0, 12326), Misses(1, 4, 8, TorchMath.Sqrt, x => Math.Sqrt(x)));
    }

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

    [TestMethod]
    public void Logarithms_miss_the_nearest_number_as_often_as_numpys()
    {
        Assert.AreEqual((91107 + 1981 + 28, 58326 + 1639 + 31), Misses(0.125f, 32, 64, NumPyMath.Log, Math.Log));
    }

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

    /// <summary>How many results are larger and smaller, by magnitude, than the nearest float32.</summary>
    private static (int Larger, int Smaller) Misses(float from, float to, int stride, Func<float, float> computed, Func<double, double> exact)
    {
        var (larger, smaller) = (0, 0);
        for (var bits = BitConverter.SingleToUInt32Bits(from); bits < BitConverter.SingleToUInt32Bits(to); bits += (uint)stride)
        {
            var x = BitConverter.UInt32BitsToSingle(bits);
            var (result, nearest) = (MathF.Abs(computed(x)), MathF.Abs((float)exact(x)));
            larger += result > nearest ? 1 : 0;
            smaller += result < nearest ? 1 : 0;
        }
        return (larger, smaller);
    }
}
