namespace QuantSdk.TrtExecStandIn;

/// <summary>Makes a program named trtexec that is this stand-in, of one version and with one failure.</summary>
public static class StandInTrtExec
{
    /// <summary>Every failure by name, with what real trtexec does then: Program.cs.</summary>
    public static IReadOnlyList<string> Failures => Trouble.All;

    /// <param name="folder">Where the program goes; made where it is missing.</param>
    /// <param name="family">8.6, 9.3, 10.0, 10.13, 10.16 or 11.1.</param>
    /// <param name="failure">One of <see cref="Failures"/>, or null.</param>
    /// <returns>Its path.</returns>
    public static string Write(string folder, string family, string? failure = null)
    {
        _ = StandInVersion.Of(family);
        if (failure is not null && !Trouble.All.Contains(failure))
            throw new ArgumentException($"The stand-in does not fail by '{failure}', but by {string.Join(", ", Trouble.All)}.", nameof(failure));
        Directory.CreateDirectory(folder);
        var path = Path.Combine(folder, "trtexec");
        var dotnet = Environment.GetEnvironmentVariable("DOTNET_HOST_PATH") is { Length: > 0 } host ? host : "dotnet";
        File.WriteAllText(path, $"#!/bin/sh\nSTAND_IN_VERSION='{family}' STAND_IN_FAILURE='{failure}' STAND_IN_RECORD='{Record(folder)}' exec '{dotnet}' exec '{Assembly}' \"$0\" \"$@\"\n");
        return Executable(path);
    }

    /// <summary>Gives a file the permission to be run.</summary>
    public static string Executable(string path)
    {
        if (!OperatingSystem.IsWindows())
            File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        return path;
    }

    /// <summary>The runs of the program in a folder: what it was told, and when it ran. Probes are not among them.</summary>
    public static IReadOnlyList<StandInRun> Runs(string folder) => File.Exists(Record(folder)) ? StandInRun.Read(File.ReadAllLines(Record(folder))) : [];

    /// <summary>How often it was asked for its version.</summary>
    public static int Probes(string folder) => File.Exists(Record(folder) + ".probes") ? File.ReadAllLines(Record(folder) + ".probes").Length : 0;

    /// <summary>A run with the failure `hang` ends when this file is there.</summary>
    public static string Release(string folder) => Path.Combine(folder, "release");

    private static string Assembly => typeof(StandInTrtExec).Assembly.Location;

    private static string Record(string folder) => Path.Combine(folder, "runs");
}
