namespace QuantSdk.Planning;

/// <summary>Groups CPUs by the instructions that int8 products run on: what a cost table is measured for.</summary>
internal static class CpuClass
{
    /// <param name="features">As the runtime writes them: <c>x64:avx2,fma,avx512f,avx512vnni</c>.</param>
    /// <returns>amx, avx512-vnni, avx512, avx2-vnni, avx2, x64, neon-dot, neon or other.</returns>
    public static string Of(string features)
    {
        var (architecture, names) = features.Split(':') is [var a, var list] ? (a, list.Split(',')) : (features, []);
        bool Has(string name) => names.Contains(name, StringComparer.Ordinal);
        return architecture switch
        {
            "x64" or "x86" => Has("amx-int8") ? "amx" : Has("avx512vnni") ? "avx512-vnni" : Has("avx512f") ? "avx512" : Has("avx_vnni") ? "avx2-vnni" : Has("avx2") ? "avx2" : "x64",
            "arm64" => Has("dot") ? "neon-dot" : "neon",
            _ => "other",
        };
    }

    /// <summary>True where one instruction multiplies and adds four pairs of bytes.</summary>
    public static bool HasDotProducts(string cpuClass) => cpuClass is "amx" or "avx512-vnni" or "avx2-vnni" or "neon-dot";
}
