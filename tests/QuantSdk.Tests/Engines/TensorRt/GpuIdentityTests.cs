using QuantSdk.Engines.TensorRt;

namespace QuantSdk.Tests.Engines.TensorRt;

/// <summary>The driver's files have the form that version 580.159 was seen to write them in.</summary>
[TestClass]
public sealed class GpuIdentityTests
{
    [TestMethod]
    public void One_GPU()
    {
        using var folder = new TempFolder();
        Gpu(folder, "0000:00:06.0", "NVIDIA H200", "GPU-29baa583");
        Assert.AreEqual(new GpuIdentity("NVIDIA H200", "GPU-29baa583"), GpuIdentity.Of(0, folder.Path, null, null));
        Assert.AreEqual(new GpuIdentity("unknown", "gpu1"), GpuIdentity.Of(1, folder.Path, null, null));
    }

    [TestMethod]
    public void No_driver() => Assert.AreEqual(new GpuIdentity("unknown", "gpu2"), GpuIdentity.Of(2, "/nonexistent", null, null));

    [TestMethod]
    [DataRow(0, null, null, "A+B", "gpu0", DisplayName = "CUDA begins with the fastest, which only CUDA knows")]
    [DataRow(0, null, "PCI_BUS_ID", "A", "GPU-aa11")]
    [DataRow(1, null, "PCI_BUS_ID", "B", "GPU-bb22")]
    [DataRow(0, "1", "PCI_BUS_ID", "B", "GPU-bb22")]
    [DataRow(1, "1,0", "PCI_BUS_ID", "A", "GPU-aa11")]
    [DataRow(0, "GPU-bb", null, "B", "GPU-bb22")]
    [DataRow(0, "GPU-", null, "A+B", "GPU-", DisplayName = "a beginning of both")]
    [DataRow(1, "0", "PCI_BUS_ID", "unknown", "gpu1")]
    [DataRow(0, "", null, "unknown", "gpu0", DisplayName = "none is visible")]
    [DataRow(0, "MIG-3eb8", null, "A+B MIG", "MIG-3eb8")]
    public void Two_kinds(int device, string? visible, string? order, string model, string name)
    {
        using var folder = new TempFolder();
        Gpu(folder, "0000:41:00.0", "B", "GPU-bb22");
        Gpu(folder, "0000:01:00.0", "A", "GPU-aa11");
        Assert.AreEqual(new GpuIdentity(model, name), GpuIdentity.Of(device, folder.Path, visible, order));
    }

    [TestMethod]
    public void Names_of_files() => Assert.AreEqual("NVIDIA_H100_80GB_HBM3", GpuIdentity.FileName("NVIDIA H100 80GB HBM3"));

    private static void Gpu(TempFolder folder, string bus, string model, string uuid)
    {
        Directory.CreateDirectory(folder[bus]);
        File.WriteAllText(folder[bus + "/information"], $"Model: \t\t {model}\nIRQ:   \t\t 41\nGPU UUID: \t {uuid}\nVideo BIOS: \t 96.00.a5.00.1a\nBus Type: \t PCIe\nBus Location: \t {bus}\nDevice Minor: \t 0\nGPU Excluded:\t No\n");
    }
}
