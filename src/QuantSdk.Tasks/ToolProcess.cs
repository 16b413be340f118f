using System.Diagnostics;
using System.Threading.Channels;

namespace QuantSdk.Tasks;

/// <summary>A running tool: its lines in the order they came, and its end. Standard input stays open; closing it asks the tool to stop.</summary>
internal sealed class ToolProcess : IDisposable
{
    public const int MaximumLineBytes = 1024 * 1024;
    private static readonly TimeSpan Grace = TimeSpan.FromSeconds(3);
    private const int LastLines = 8;

    private readonly Process _process;
    private readonly Channel<ToolLine> _lines = Channel.CreateBounded<ToolLine>(new BoundedChannelOptions(1024) { SingleReader = true });
    private readonly Queue<string> _lastErrorLines = new();

    private ToolProcess(Process process)
    {
        _process = process;
        var readers = new[] { Start(process.StandardOutput.BaseStream, isError: false), Start(process.StandardError.BaseStream, isError: true) };
        _ = CompleteLines(Task.WhenAll(readers));
    }

    /// <summary>Starts the process and sends it its request.</summary>
    /// <exception cref="System.ComponentModel.Win32Exception">The executable cannot be started.</exception>
    public static ToolProcess Start(ProcessStartInfo start, ReadOnlySpan<byte> request)
    {
        start.UseShellExecute = false;
        start.CreateNoWindow = true;
        start.RedirectStandardInput = start.RedirectStandardOutput = start.RedirectStandardError = true;
        var process = Process.Start(start)!;
        try
        {
            process.StandardInput.BaseStream.Write(request);
            process.StandardInput.BaseStream.Flush();
        }
        catch (IOException)
        {
            // It died before it read its request; its exit code tells more.
        }
        return new ToolProcess(process);
    }

    public ChannelReader<ToolLine> Lines => _lines.Reader;

    /// <summary>The last lines of standard error that were read from <see cref="Lines"/>.</summary>
    public IReadOnlyCollection<string> LastErrorLines => _lastErrorLines;

    public void RememberErrorLine(string line)
    {
        if (_lastErrorLines.Count == LastLines) _lastErrorLines.Dequeue();
        _lastErrorLines.Enqueue(line);
    }

    /// <summary>The exit code, 128 + signal after a death by signal. Its streams have ended, so this does not wait for long; a process that closed them and lives on is stopped.</summary>
    public int WaitForExit()
    {
        if (!_process.WaitForExit(Grace)) Kill();
        _process.WaitForExit();
        return _process.ExitCode;
    }

    /// <summary>Asks the tool to stop by closing its input; after three seconds ends it and its children.</summary>
    public void Stop()
    {
        try
        {
            _process.StandardInput.Close();
        }
        catch (Exception e) when (e is IOException or InvalidOperationException)
        {
            // The pipe is broken: it has gone already.
        }
        if (!_process.WaitForExit(Grace)) Kill();
    }

    /// <summary>MSBuild disposes of what is left at the end of a build that was cancelled between two tasks.</summary>
    public void Dispose()
    {
        Stop();
        _lines.Writer.TryComplete();
        _process.Dispose();
    }

    private void Kill()
    {
        try
        {
            _process.Kill(entireProcessTree: true);
            _process.WaitForExit(Grace);
        }
        catch (Exception e) when (e is InvalidOperationException or AggregateException or System.ComponentModel.Win32Exception)
        {
            // Gone meanwhile.
        }
    }

    // The lines end with the streams, or soon after the process: a child that it leaves behind may hold the streams open.
    private async Task CompleteLines(Task readers)
    {
        var exit = _process.WaitForExitAsync();
        if (await Task.WhenAny(readers, exit).ConfigureAwait(false) == exit)
            await Task.WhenAny(readers, Task.Delay(Grace)).ConfigureAwait(false);
        _lines.Writer.TryComplete();
    }

    private Task Start(Stream stream, bool isError) => Task.Factory.StartNew(() => Read(stream, isError), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);

    private void Read(Stream stream, bool isError)
    {
        var reader = new BoundedLineReader(stream, MaximumLineBytes);
        try
        {
            while (reader.ReadLine() is { } line)
                if (!Write(new ToolLine(line, isError, IsTooLong: false))) return;
        }
        catch (LineTooLongException)
        {
            Write(new ToolLine("", isError, IsTooLong: true));
        }
        catch (Exception e) when (e is IOException or ObjectDisposedException)
        {
            // The stream ended the hard way.
        }
    }

    // Blocks while the reader is behind: memory stays bounded, and the tool waits at its pipe.
    private bool Write(ToolLine line)
    {
        while (!_lines.Writer.TryWrite(line))
            if (!_lines.Writer.WaitToWriteAsync().AsTask().GetAwaiter().GetResult()) return false;
        return true;
    }
}

/// <summary>One line of the tool's output.</summary>
internal readonly record struct ToolLine(string Text, bool IsError, bool IsTooLong);
