namespace QuantSdk.Runtime.Tests;

/// <summary>Which plan runs where, by TensorRT's rules for plans: one version and one kind of GPU, unless built otherwise.</summary>
[TestClass]
public sealed class PlanSupportTests
{
    private static readonly TensorRtInfo s_info = new("10.13.3.9", "9.0", "NVIDIA H100 80GB HBM3", "none", false, "tensorrt/model.plan", null, []);

    [TestMethod]
    [DataRow("10.13.3", false, true, DisplayName = "its own version")]
    [DataRow("10.13.2", false, false, DisplayName = "an older patch")]
    [DataRow("10.14.1", false, false, DisplayName = "a newer minor version")]
    [DataRow("10.13.3", true, true, DisplayName = "compatible, its own version")]
    [DataRow("10.16.0", true, true, DisplayName = "compatible, newer")]
    [DataRow("10.13.2", true, false, DisplayName = "compatible, older")]
    [DataRow("11.0.0", true, false, DisplayName = "compatible, another major version")]
    public void The_library_must_be_the_plans_own(string library, bool compatible, bool runs)
    {
        var refusal = PlanSupport.Refusal(s_info with { VersionCompatible = compatible }, new FakeTensorRt(library), 0, out _);
        Assert.AreEqual(runs, refusal is null, refusal);
        if (!runs)
        {
            Assert.Contains("10.13.3", refusal!);
            Assert.Contains(library, refusal!);
        }
    }

    [TestMethod]
    [DataRow("none", "9.0", true), DataRow("none", "8.9", false), DataRow("none", "10.0", false)]
    [DataRow("ampere+", "8.0", true), DataRow("ampere+", "12.0", true), DataRow("ampere+", "7.5", false)]
    [DataRow("sameComputeCapability", "9.0", true), DataRow("sameComputeCapability", "8.6", false)]
    public void The_gpu_must_be_one_that_the_plan_is_for(string compatibility, string gpu, bool runs)
    {
        var refusal = PlanSupport.Refusal(s_info with { HardwareCompatibility = compatibility }, new FakeTensorRt(ComputeCapability: gpu), 0, out _);
        Assert.AreEqual(runs, refusal is null, refusal);
        if (!runs)
            Assert.Contains($"({gpu})", refusal!);
    }

    [TestMethod]
    public void Another_gpu_of_the_same_kind_is_said_and_accepted()
    {
        Assert.IsNull(PlanSupport.Refusal(s_info, new FakeTensorRt(Gpu: "NVIDIA H200"), 0, out var note));
        Assert.Contains("this is NVIDIA H200", note);
        Assert.IsNull(PlanSupport.Refusal(s_info with { HardwareCompatibility = "sameComputeCapability" }, new FakeTensorRt(Gpu: "NVIDIA H200"), 0, out note));
        Assert.DoesNotContain("H200", note);
    }

    [TestMethod]
    public void Questions_end_where_one_is_answered_badly()
    {
        foreach (var (platform, reason, asked) in new (FakeTensorRt, string?, string[])[]
        {
            (new(Library: null), "no libnvinfer.so.10", ["library"]),
            (new(Library: "10.0.0"), null, ["library"]),
            (new(Gpu: null), "no driver", ["library", "device 3"]),
            (new(Provider: "no cuDNN"), "no cuDNN", ["library", "device 3", "provider"]),
        })
        {
            var refusal = PlanSupport.Refusal(s_info, platform, 3, out _);
            Assert.IsNotNull(refusal);
            if (reason is not null)
                Assert.AreEqual(reason, refusal);
            CollectionAssert.AreEqual(asked, platform.Asked);
        }
        Assert.IsNotNull(PlanSupport.Refusal(null, new FakeTensorRt(), 0, out _));
        Assert.IsNotNull(PlanSupport.Refusal(s_info with { Version = "ten" }, new FakeTensorRt(), 0, out _));
    }

    /// <summary>Whatever this machine has: the answers come without a crash, and with a reason.</summary>
    [TestMethod]
    public void This_machine_answers()
    {
        var here = new LocalTensorRt();
        if (here.Library(out var library) is null)
            Assert.AreNotEqual("", library);
        if (here.Device(0, out var device) is null)
            Assert.AreNotEqual("", device);
        else
            Assert.IsNull(here.Device(1000, out _));
        Assert.IsNull(here.Device(-1, out _));
    }
}
