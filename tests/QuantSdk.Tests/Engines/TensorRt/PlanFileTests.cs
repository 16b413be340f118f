using QuantSdk.Engines.TensorRt;

namespace QuantSdk.Tests.Engines.TensorRt;

[TestClass]
public sealed class PlanFileTests
{
    [TestMethod]
    public void The_header_of_a_plan()
    {
        byte[] header = [0x66, 0x74, 0x72, 0x74, 0, 0, 0, 0, .. new byte[16], 10, 13, 3, 9];
        Assert.AreEqual(new TensorRtVersion(10, 13, 3, 9), PlanFile.Version(header));
        Assert.IsNull(PlanFile.Version(header.AsSpan(0, 27)));
        header[3] = 0;
        Assert.IsNull(PlanFile.Version(header));
        using var folder = new TempFolder();
        Assert.AreEqual((0L, null), PlanFile.Read(folder["missing"]));
        File.WriteAllText(folder["short"], "ftrt");
        Assert.AreEqual((4L, null), PlanFile.Read(folder["short"]));
    }
}
