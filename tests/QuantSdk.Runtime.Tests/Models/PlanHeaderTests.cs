namespace QuantSdk.Runtime.Tests;

[TestClass]
public sealed class PlanHeaderTests
{
    /// <summary>As trtexec's printPlanVersion reads them.</summary>
    private static readonly byte[] s_header = [(byte)'f', (byte)'t', (byte)'r', (byte)'t', .. new byte[20], 10, 13, 3, 9];

    [TestMethod]
    public void The_version_is_in_bytes_24_to_27() => Assert.AreEqual(new Version(10, 13, 3, 9), Read([.. s_header, 1, 2, 3]));

    [TestMethod]
    [DataRow(0), DataRow(27)]
    public void A_header_that_is_cut_off_is_refused(int length) => Assert.Contains($"{length} bytes", Tensors.Refuses("QSDK7060", () => Read(s_header[..length])).Message);

    [TestMethod]
    public void Another_file_is_refused() => Tensors.Refuses("QSDK7060", () => Read("version https://git-lfs.github.com/spec/v1"u8.ToArray()));

    private static Version Read(byte[] bytes)
    {
        var file = Path.GetTempFileName();
        try
        {
            File.WriteAllBytes(file, bytes);
            return PlanHeader.Read(file);
        }
        finally
        {
            File.Delete(file);
        }
    }
}
