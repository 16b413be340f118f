using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.Arm;
using System.Runtime.Intrinsics.X86;

namespace QuantSdk.Runtime;

/// <summary>
/// The CPU features by which ONNX Runtime's kernels (MLAS) choose how weights are packed, as one stable string such as
/// <c>x64:avx2,fma,avx512f</c>. Prepacked weights are only valid where the string is the same.
/// </summary>
internal static class CpuFeatures
{
    public static string Current { get; } = $"{RuntimeInformation.ProcessArchitecture.ToString().ToLowerInvariant()}:{string.Join(',', Detect())}";

    private static IEnumerable<string> Detect() =>
        X86Base.IsSupported ? DetectX86()
        : ArmBase.IsSupported ? DetectArm()
        : [];

    private static IEnumerable<string> DetectX86()
    {
        var highest = (uint)X86Base.CpuId(0, 0).Eax;
        if (highest < 7)
            yield break;
        var (_, ebx, ecx, edx) = X86Base.CpuId(7, 0);
        var leaf71 = X86Base.CpuId(7, 1);
        // IsSupported also asks whether the operating system saves the registers; CPUID alone does not.
        if (Avx2.IsSupported)
        {
            yield return "avx2";
            if (Fma.IsSupported) yield return "fma";
            if (Bit(leaf71.Eax, 4)) yield return "avx_vnni";
            if (Bit(leaf71.Edx, 4)) yield return "avx_vnni_int8";
        }
        if (Avx512F.IsSupported)
        {
            yield return "avx512f";
            if (Bit(ebx, 17)) yield return "avx512dq";
            if (Bit(ebx, 30)) yield return "avx512bw";
            if (Bit(ebx, 31)) yield return "avx512vl";
            if (Bit(ecx, 11)) yield return "avx512vnni";
            if (Bit(leaf71.Eax, 5)) yield return "avx512bf16";
            if (Bit(edx, 23)) yield return "avx512fp16";
        }
        if (highest >= 0xD && Bit(edx, 24) && AmxStateIsEnabled())
        {
            yield return "amx-tile";
            if (Bit(edx, 25)) yield return "amx-int8";
            if (Bit(edx, 22)) yield return "amx-bf16";
        }
    }

    /// <summary>Leaf 0xD gives the size of the state that the operating system has enabled; with AMX's tiles it reaches 2816 + 8192 bytes.</summary>
    private static bool AmxStateIsEnabled() => (uint)X86Base.CpuId(0xD, 0).Ebx >= 2816 + 8192;

    private static IEnumerable<string> DetectArm()
    {
        yield return "neon";
        if (Dp.IsSupported) yield return "dot";
        if (Rdm.IsSupported) yield return "rdm";
        // .NET has no stable intrinsics class for these; Linux lists them.
        foreach (var feature in LinuxArmFlags().Where(flag => flag is "asimdhp" or "bf16" or "i8mm" or "sme" or "sve" or "sve2").Order(StringComparer.Ordinal))
            yield return feature;
    }

    private static IEnumerable<string> LinuxArmFlags()
    {
        const string file = "/proc/cpuinfo";
        if (!File.Exists(file))
            return [];
        var line = File.ReadLines(file).FirstOrDefault(text => text.StartsWith("Features", StringComparison.Ordinal));
        return line is null ? [] : line[(line.IndexOf(':') + 1)..].Split(' ', StringSplitOptions.RemoveEmptyEntries).Distinct();
    }

    private static bool Bit(int register, int bit) => (register >> bit & 1) != 0;
}
