using System.Diagnostics;

namespace QuantSdk.Build.Tests;

/// <summary>A user who owns nothing: root is not stopped by permissions.</summary>
internal static class AnotherUser
{
    private static readonly string[] s_wrapper = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];

    /// <summary>Why a build cannot run as another user here; null where it can.</summary>
    public static string? NotHere()
    {
        if (!OperatingSystem.IsLinux() || Environment.UserName != "root") return "Only root can build as another user.";
        using var probe = Process.Start(new ProcessStartInfo(s_wrapper[0], [.. s_wrapper[1..], "test", "-r", RepositoryPaths.StandInTool]))!;
        probe.WaitForExit();
        return probe.ExitCode == 0 ? null : $"Another user cannot read '{RepositoryPaths.StandInTool}'.";
    }

    /// <summary>Makes one folder readable for everyone, one writable.</summary>
    public static void Allow(string readable, string writable)
    {
        if (OperatingSystem.IsWindows()) return;
        File.SetUnixFileMode(readable, (UnixFileMode)0b111_101_101);
        File.SetUnixFileMode(writable, (UnixFileMode)0b111_111_111);
    }

    /// <summary>A build that has its home and its temporary files in the writable folder, and its log.</summary>
    public static ChildSettings Settings(string writable) => new(writable)
    {
        Wrapper = s_wrapper,
        Environment = new Dictionary<string, string> { ["HOME"] = writable, ["DOTNET_CLI_HOME"] = writable, ["TMPDIR"] = writable, ["STAND_IN_KEEPS_NO_COUNT"] = "1" },
    };
}
