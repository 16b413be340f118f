using System.Reflection;

namespace QuantSdk.Bench;

/// <summary>Where the build put what the benchmarks need.</summary>
internal static class Repository
{
    public static string Root { get; } = Get("Repository");

    public static string TasksAssembly => Get("TasksAssembly");

    public static string ToolAssembly => Get("ToolAssembly");

    public static string Digits { get; } = Path.Combine(Root, "samples", "Digits", "models");

    public static string CachedDiffusion { get; } = Path.Combine(Root, "samples", "CachedDiffusion", "models");

    private static string Get(string key) => typeof(Repository).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>().Single(a => a.Key == key).Value!;
}
