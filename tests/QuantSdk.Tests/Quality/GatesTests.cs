using QuantSdk.Quality;
using QuantSdk.Recipes;
using QuantSdk.Runtime;

namespace QuantSdk.Tests.Quality;

[TestClass]
public sealed class GatesTests
{
    private static readonly OutputQuality[] s_engine = [new("y", 30, 0.999)], s_cached = [new("y", 15, 0.98)];

    [TestMethod]
    [DataRow(10.0, 0.9, false, null)]
    [DataRow(20.0, 0.9, false, null)] // without cached loops the engine alone is judged
    [DataRow(20.0, 0.9, true, "QSDK5001")]
    [DataRow(10.0, 0.99, true, "QSDK5002")]
    [DataRow(10.0, 0.9, true, null)]
    public void Cached_loops_are_judged_as_the_engine_is(double sqnr, double cosine, bool cached, string? code)
    {
        void Check() => Gates.Check(new Recipe { Name = "m", MinSqnr = sqnr, MinCosine = cosine }, s_engine, 0, "m.onnx", cached ? s_cached : null);
        if (code is null)
        {
            Check();
            return;
        }
        var error = Assert.ThrowsExactly<QuantSdkException>(Check);
        Assert.AreEqual(code, error.Code);
        Assert.Contains("with every third step full", error.Message);
    }
}
