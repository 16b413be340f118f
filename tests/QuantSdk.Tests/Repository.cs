namespace QuantSdk.Tests;

/// <summary>Files of the clone that tests read in place.</summary>
internal static class Repository
{
    public static string Root { get; } = Find();

    public static string Digits(string file) => Path.Combine(Root, "samples", "Digits", "models", file);

    public static string Mmdit(string file) => Path.Combine(Root, "samples", "CachedDiffusion", "models", file);

    public static string Data(string file) => Path.Combine(Root, "tests", "data", file);

    private static string Find()
    {
        var folder = new DirectoryInfo(AppContext.BaseDirectory);
        while (folder is not null && !File.Exists(Path.Combine(folder.FullName, "QuantSdk.sln")))
            folder = folder.Parent;
        return folder?.FullName ?? throw new DirectoryNotFoundException("No QuantSdk.sln above " + AppContext.BaseDirectory);
    }
}
