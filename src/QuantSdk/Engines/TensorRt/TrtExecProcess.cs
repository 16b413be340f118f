using System.Collections.Concurrent;
using System.ComponentModel;
using System.Diagnostics;
using System.Text;

namespace QuantSdk.Engines.TensorRt;

/// <summary>One run of trtexec: an argument list, never a shell, and both of its pipes read as they fill.</summary>
internal static class TrtExecProcess
{
    /// <summary>A line longer than this is cut: nothing that trtexec says in one is worth more memory.</summary>
    private const int LongestLine = 64 * 1024;

    /// <summary>How long its pipes are read after its end, where something that it started keeps them open.</summary>
    private static readonly TimeSpan s_echo = TimeSpan.FromSeconds(2);

    /// <summary>How long the end of a killed process is waited for.</summary>
    private static readonly TimeSpan s_burial = TimeSpan.FromSeconds(10);

    /// <param name="line">Called for each line of either stream, by the caller's thread; true: it came from standard error.</param>
    /// <returns>The exit status; 128 + n where signal n ended it.</returns>
    /// <exception cref="Win32Exception">It cannot be started.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled: trtexec and what it started are gone.</exception>
    public static int Run(string path, IReadOnlyList<string> arguments, Action<string, bool> line, CancellationToken cancellation)
    {
        cancellation.ThrowIfCancellationRequested();
        var start = new ProcessStartInfo(path)
        {
            RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true, UseShellExecute = false, CreateNoWindow = true,
            StandardOutputEncoding = Encoding.UTF8, StandardErrorEncoding = Encoding.UTF8,
            // Nothing of the project is looked up by a relative name: neither a library of Windows nor a plugin.
            WorkingDirectory = Path.GetDirectoryName(path),
        };
        foreach (var argument in arguments)
            start.ArgumentList.Add(argument);
        if (Libraries(path) is { } libraries)
        {
            var variable = OperatingSystem.IsWindows() ? "PATH" : "LD_LIBRARY_PATH";
            start.Environment[variable] = start.Environment.TryGetValue(variable, out var set) && !string.IsNullOrEmpty(set) ? set + Path.PathSeparator + libraries : libraries;
        }
        using var process = Process.Start(start)!;
        process.StandardInput.Close();
        using var lines = new BlockingCollection<(string Text, bool IsError)>(1024);
        try
        {
            var output = Read(process.StandardOutput, text => lines.Add((text, false), cancellation));
            var error = Read(process.StandardError, text => lines.Add((text, true), cancellation));
            var ended = process.WaitForExitAsync(CancellationToken.None).ContinueWith(_ => Task.Delay(s_echo), TaskScheduler.Default).Unwrap();
            _ = Task.WhenAny(Task.WhenAll(output, error), ended).ContinueWith(_ => Complete(lines), TaskScheduler.Default);
            foreach (var (text, isError) in lines.GetConsumingEnumerable(cancellation))
                line(text, isError);
            process.WaitForExit();
            return process.ExitCode;
        }
        catch
        {
            // Cancelled, or nobody could take its words: what nobody waits for shall not hold the GPU.
            Kill(process);
            throw;
        }
    }

    /// <summary>An archive of TensorRT has trtexec in bin and what it needs in lib beside it, where the system's loader does not look: looked in last.</summary>
    private static string? Libraries(string path)
    {
        var folder = Path.GetFullPath(Path.Combine(Path.GetDirectoryName(File.ResolveLinkTarget(path, returnFinalTarget: true)?.FullName ?? path)!, "..", "lib"));
        try
        {
            return Directory.Exists(folder) && Directory.EnumerateFiles(folder, OperatingSystem.IsWindows() ? "nvinfer*.dll" : "libnvinfer.so*").Any() ? folder : null;
        }
        catch (Exception e) when (FileSystemError.Is(e))
        {
            return null;
        }
    }

    private static void Complete(BlockingCollection<(string Text, bool IsError)> lines)
    {
        try
        {
            lines.CompleteAdding();
        }
        catch (ObjectDisposedException)
        {
            // Cancelled meanwhile.
        }
    }

    private static Task Read(StreamReader reader, Action<string> tell) => Task.Factory.StartNew(
        () =>
        {
            var line = new StringBuilder();
            var buffer = new char[4096];
            try
            {
                for (int count; (count = reader.Read(buffer)) > 0;)
                {
                    foreach (var c in buffer.AsSpan(0, count))
                    {
                        if (c == '\n')
                            Flush();
                        else if (line.Length < LongestLine)
                            line.Append(c);
                    }
                }
                if (line.Length > 0)
                    Flush();
            }
            catch (Exception e) when (e is IOException or OperationCanceledException or ObjectDisposedException or InvalidOperationException)
            {
                // The pipe broke with the process, whose exit status says more, or nobody listens any longer.
            }

            void Flush()
            {
                tell(line.ToString().TrimEnd('\r'));
                line.Clear();
            }
        },
        CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);

    private static void Kill(Process process)
    {
        try
        {
            process.Kill(entireProcessTree: true);
            process.WaitForExit(s_burial);
        }
        catch (Exception e) when (e is InvalidOperationException or Win32Exception or AggregateException)
        {
            // It has just ended by itself.
        }
    }
}
