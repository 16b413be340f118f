using System.Reflection;

namespace QuantSdk.Bench;

/// <summary>Where things are: the repository's models, and folders to write to.</summary>
internal static class Repository
{
    private static readonly string s_root = typeof(Repository).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>().First(a => a.Key == "Repository").Value!;

    public static string Digits { get; } = Path.Combine(s_root, "samples", "Digits", "models");

    public static string CachedDiffusion { get; } = Path.Combine(s_root, "samples", "CachedDiffusion", "models");
}
