using System.Diagnostics;

namespace QuantSdk.Build.Tests.BadInputs;

/// <summary>A run of the real tool in a process of its own.</summary>
internal sealed record ToolRun(int ExitCode, string Output, string Error)
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(120);

    /// <param name="wrapper">A command that starts the tool, as `setpriv`; empty: none.</param>
    public static ToolRun Start(CaseFolder folder, IReadOnlyList<string> arguments, IReadOnlyList<string> wrapper)
    {
        using var process = Process.Start(Command(folder, arguments, wrapper))!;
        process.StandardInput.Close();
        var (output, error) = (process.StandardOutput.ReadToEndAsync(), process.StandardError.ReadToEndAsync());
        if (!process.WaitForExit(s_patience))
        {
            process.Kill(entireProcessTree: true);
            throw new TimeoutException(string.Join(' ', arguments));
        }
        return new ToolRun(process.ExitCode, output.GetAwaiter().GetResult(), error.GetAwaiter().GetResult());
    }

    /// <summary>The tool in the case's folder, with a home of its own and its streams redirected.</summary>
    public static ProcessStartInfo Command(CaseFolder folder, IReadOnlyList<string> arguments, IReadOnlyList<string> wrapper)
    {
        string[] command = [.. wrapper, "dotnet", "exec", RepositoryPaths.ToolAssembly, .. arguments];
        var start = new ProcessStartInfo(command[0], command[1..]) { WorkingDirectory = folder.Root, RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true };
        start.Environment["TMPDIR"] = folder.Temporary;
        // The runtime's own debugger sockets would lie in the folder that has to stay empty.
        start.Environment["DOTNET_EnableDiagnostics"] = "0";
        // Under a file size limit the runtime could not start: it maps its code through a large file in memory.
        start.Environment["DOTNET_EnableWriteXorExecute"] = "0";
        start.Environment["HOME"] = start.Environment["DOTNET_CLI_HOME"] = folder.Home;
        start.Environment["QuantSdkStoreMode"] = "Off";
        start.Environment.Remove("ORT_DISABLE_TELEMETRY");
        return start;
    }
}
