using System.Diagnostics;
using System.Runtime.InteropServices;

namespace QuantSdk.Build.Tests;

/// <summary>A `dotnet` command that runs in a folder outside the repository, in an environment of its own.</summary>
internal sealed class ChildBuild : IDisposable
{
    // The rest, above all MSBuild* and DOTNET_*, tells of the build that runs the tests.
    private static readonly string[] s_inherited = ["HOME", "PATH", "TMPDIR", "TEMP", "TMP", "DOTNET_ROOT", "DOTNET_CLI_HOME", "SystemRoot", "USERPROFILE", "LOCALAPPDATA", "APPDATA", "ProgramFiles", "LANG"];
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(180);
    private static int s_count;

    private readonly Process _process;
    private readonly string _log;
    private readonly List<string> _output = [];
    private readonly Task _reading;

    private ChildBuild(Process process, string log)
    {
        _process = process;
        _log = log;
        _reading = Task.WhenAll(Task.Run(() => Read(process.StandardOutput)), Task.Run(() => Read(process.StandardError)));
    }

    /// <summary>A command that takes MSBuild's switches; it writes a binary log.</summary>
    public static ChildBuild Start(string directory, params IEnumerable<string> arguments) => Start(directory, new ChildSettings(), arguments);

    public static ChildBuild Start(string directory, ChildSettings settings, params IEnumerable<string> arguments)
    {
        var name = $"{Interlocked.Increment(ref s_count)}.binlog";
        // `;` in the name of a log would separate it from its next argument; in a path it is not understood at all.
        var log = settings.LogFolder is null ? name : Path.Combine(settings.LogFolder, name);
        return StartPlain(directory, settings, [.. arguments, "-bl:" + log, "-nodeReuse:false", "-tl:off", "-nologo"], Path.Combine(directory, log));
    }

    /// <summary>A command as it stands, `dotnet run` or another program than dotnet.</summary>
    public static ChildBuild StartPlain(string directory, ChildSettings settings, IEnumerable<string> arguments, string log = "")
    {
        string[] command = [.. settings.Wrapper, .. settings.Program.Length == 0 ? [] : (string[])[settings.Program], .. arguments];
        var start = new ProcessStartInfo(command[0], command[1..]) { WorkingDirectory = directory, RedirectStandardOutput = true, RedirectStandardError = true };
        var environment = s_inherited.Select(name => (name, value: Environment.GetEnvironmentVariable(name))).Where(v => v.value is not null).ToList();
        start.Environment.Clear();
        foreach (var (name, value) in environment) start.Environment[name] = value;
        start.Environment["DOTNET_CLI_TELEMETRY_OPTOUT"] = "1";
        start.Environment["DOTNET_CLI_WORKLOAD_UPDATE_NOTIFY_DISABLE"] = "true";
        start.Environment["DOTNET_CLI_UI_LANGUAGE"] = "en";
        start.Environment["DOTNET_SKIP_FIRST_TIME_EXPERIENCE"] = "1";
        // A test that wants a store names one.
        start.Environment["QuantSdkStoreMode"] = "Off";
        // What trtexec's stand-in times is nothing that a real one may find in the user's folder.
        start.Environment["XDG_DATA_HOME"] = Path.Combine(Path.GetTempPath(), "quantsdk-test-data");
        start.Environment["MSBUILDDISABLENODEREUSE"] = "1";
        foreach (var (variable, value) in settings.Environment) start.Environment[variable] = value;
        return new ChildBuild(Process.Start(start)!, log);
    }

    /// <summary>Waits for the end and reads the log.</summary>
    public BuildLog Finish()
    {
        WaitForExit();
        return BuildLog.Read(_log);
    }

    public void WaitForExit()
    {
        if (_process.WaitForExit(s_patience))
        {
            // What it wrote last may still be on its way; an orphan that holds the pipe open must not hold the test.
            _reading.Wait(TimeSpan.FromSeconds(5));
            return;
        }
        _process.Kill(entireProcessTree: true);
        _reading.Wait(s_patience);
        throw new TimeoutException($"dotnet did not end within {s_patience}. It wrote: {string.Join('\n', Output())}");
    }

    /// <summary>Waits until the running build has written a line, however slow the machine is.</summary>
    public void WaitForLine(Func<string, bool> wanted) => WaitForLines(1, wanted);

    /// <summary>Waits until so many lines have come.</summary>
    public void WaitForLines(int count, Func<string, bool> wanted)
    {
        var started = Stopwatch.GetTimestamp();
        while (Output().Count(wanted) < count)
        {
            if (_process.HasExited || Stopwatch.GetElapsedTime(started) > s_patience)
                throw new TimeoutException($"The line did not come. dotnet wrote: {string.Join('\n', Output())}");
            Thread.Sleep(20);
        }
    }

    private void Read(StreamReader reader)
    {
        while (reader.ReadLine() is { } line)
        {
            lock (_output)
                _output.Add(line);
        }
    }

    /// <summary>The lines it has written so far.</summary>
    public string[] Output()
    {
        lock (_output)
            return [.. _output];
    }

    public int ExitCode => _process.ExitCode;

    public int Id => _process.Id;

    public void Signal(int signal) => Assert.AreEqual(0, SendSignal(_process.Id, signal));

    /// <summary>Ends MSBuild without a chance to clean up; its children are left to themselves.</summary>
    public void Kill()
    {
        _process.Kill();
        _process.WaitForExit();
    }

    public void Dispose()
    {
        if (!_process.HasExited) _process.Kill(entireProcessTree: true);
        _process.Dispose();
    }

    [DllImport("libc", EntryPoint = "kill")]
    private static extern int SendSignal(int process, int signal);
}

/// <param name="LogFolder">Where the binary log goes; null: into the working folder.</param>
internal sealed record ChildSettings(string? LogFolder = null)
{
    public string Program { get; init; } = "dotnet";

    /// <summary>A command that starts the program, as `setpriv`.</summary>
    public IReadOnlyList<string> Wrapper { get; init; } = [];

    public IReadOnlyDictionary<string, string> Environment { get; init; } = new Dictionary<string, string>();
}
