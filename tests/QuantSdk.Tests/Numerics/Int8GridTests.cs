using QuantSdk.Numerics;

namespace QuantSdk.Tests.Numerics;

[TestClass]
public sealed class Int8GridTests
{
    [TestMethod]
    public void Asymmetric_grid_covers_the_range_with_an_exact_zero()
    {
        var grid = Int8Grid.Asymmetric(-1, 3);
        Assert.AreEqual(4f / 255, grid.Scale);
        Assert.AreEqual(64, grid.ZeroPoint); // 63.75 rounded
        Assert.IsFalse(grid.Signed);
    }

    [TestMethod]
    public void A_range_from_zero_has_zero_point_0_so_that_a_Relu_can_be_dropped() => Assert.AreEqual(0, Int8Grid.Asymmetric(0, 6).ZeroPoint);

    [TestMethod]
    public void Symmetric_grid_is_amax_over_127() => Assert.AreEqual(new Int8Grid(2f / 127, 0, true), Int8Grid.Symmetric(2));

    [TestMethod]
    public void A_tensor_of_zeros_has_a_positive_scale()
    {
        Assert.IsGreaterThan(0f, Int8Grid.Asymmetric(0, 0).Scale);
        Assert.IsGreaterThan(0f, Int8Grid.Symmetric(0).Scale);
    }
}
