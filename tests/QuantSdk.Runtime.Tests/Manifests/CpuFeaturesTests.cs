using System.Runtime.Intrinsics.X86;

namespace QuantSdk.Runtime.Tests;

[TestClass]
public sealed class CpuFeaturesTests
{
    [TestMethod]
    public void The_features_are_those_that_the_runtime_and_the_kernel_report()
    {
        var (architecture, features) = CpuFeatures.Current.Split(':') is [var left, var right] ? (left, right.Split(',')) : default;
        if (architecture != "x64")
            Assert.Inconclusive("The check knows x64 only.");
        Assert.AreEqual(Avx2.IsSupported, features.Contains("avx2"));
        Assert.AreEqual(Avx512F.IsSupported, features.Contains("avx512f"));
        Assert.AreEqual(AvxVnni.IsSupported, features.Contains("avx_vnni"));
        if (!File.Exists("/proc/cpuinfo"))
            return;
        var flags = File.ReadLines("/proc/cpuinfo").First(line => line.StartsWith("flags", StringComparison.Ordinal)).Split(' ');
        foreach (var (ours, kernel) in new[]
                 {
                     ("fma", "fma"), ("avx_vnni", "avx_vnni"), ("avx512dq", "avx512dq"), ("avx512bw", "avx512bw"), ("avx512vl", "avx512vl"), ("avx512vnni", "avx512_vnni"),
                     ("avx512bf16", "avx512_bf16"), ("avx512fp16", "avx512_fp16"), ("amx-tile", "amx_tile"), ("amx-int8", "amx_int8"), ("amx-bf16", "amx_bf16"),
                 })
            Assert.AreEqual(flags.Contains(kernel), features.Contains(ours), ours);
    }
}
