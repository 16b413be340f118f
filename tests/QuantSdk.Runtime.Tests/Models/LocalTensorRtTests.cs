using System.Diagnostics;

namespace QuantSdk.Runtime.Tests.Models;

/// <summary>What this machine says of its GPU, against what NVIDIA's own tool says.</summary>
[TestClass]
public sealed class LocalTensorRtTests
{
    [TestMethod]
    public void The_driver_tells_name_and_compute_capability_as_nvidia_smi_does()
    {
        var device = new LocalTensorRt().Device(0, out var refusal);
        if (Said() is not { } said)
        {
            Assert.IsNull(device);
            Assert.AreNotEqual("", refusal);
            Assert.Inconclusive($"no nvidia-smi; the driver: {refusal}");
            return;
        }
        Assert.AreEqual(said, $"{device?.Name}, {device?.ComputeCapability}", refusal);
        Assert.IsNull(new LocalTensorRt().Device(1000, out refusal));
        StringAssert.Contains(refusal, "there is no GPU 1000");
    }

    /// <summary>The first GPU's name and compute capability, or null without the tool.</summary>
    private static string? Said()
    {
        try
        {
            using var tool = Process.Start(new ProcessStartInfo("nvidia-smi", "--query-gpu=name,compute_cap --format=csv,noheader -i 0") { RedirectStandardOutput = true, RedirectStandardError = true })!;
            var line = tool.StandardOutput.ReadToEnd().Trim();
            tool.WaitForExit();
            return tool.ExitCode == 0 ? line : null;
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return null;
        }
    }
}
