using QuantSdk.Quality;

namespace QuantSdk.Tests.Quality;

[TestClass]
public sealed class ErrorMeterTests
{
    [TestMethod]
    public void A_tenth_of_the_signal_as_error_is_20_dB()
    {
        var meter = new ErrorMeter("y");
        meter.Add([10, 0], [9, 0]);
        meter.Add([0, -10], [0, -9]);
        Assert.AreEqual(20, meter.Result().SqnrDb, 1e-3);
        Assert.AreEqual(1, meter.Result().Cosine, 1e-6);
    }

    [TestMethod]
    public void Orthogonal_outputs_have_cosine_0()
    {
        var meter = new ErrorMeter("y");
        meter.Add([1, 0], [0, 1]);
        Assert.AreEqual(0, meter.Result().Cosine, 1e-9);
        Assert.AreEqual(-3.01, meter.Result().SqnrDb, 1e-2);
    }

    [TestMethod]
    public void Equal_outputs_are_exact()
    {
        var meter = new ErrorMeter("y");
        meter.Add([1, 2], [1, 2]);
        Assert.AreEqual(ErrorMeter.Exact, meter.Result().SqnrDb);
    }
}
