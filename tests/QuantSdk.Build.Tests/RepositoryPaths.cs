using System.Reflection;

namespace QuantSdk.Build.Tests;

/// <summary>Where the build put what the tests need.</summary>
internal static class RepositoryPaths
{
    public static string Targets => Path.Combine(Get("Repository"), "build");

    public static string DigitsModels => Path.Combine(Get("Repository"), "samples", "Digits", "models");

    public static string TasksAssembly => Get("TasksAssembly");

    public static string ToolAssembly => Get("ToolAssembly");

    public static string StandInTool => Get("StandInTool");

    /// <summary>The folder of the packages that this repository was restored with.</summary>
    public static string Packages => Get("Packages");

    private static string Get(string key) =>
        typeof(RepositoryPaths).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>().Single(a => a.Key == key).Value!;
}
