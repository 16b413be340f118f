using System.Diagnostics;
using System.Text.Json;
using QuantSdk.Engines;

namespace QuantSdk.Tool.Serve;

/// <summary>A build's log as JSON lines: each written and flushed whole, shorter than the reader's limit, progress no more often than anyone can read.</summary>
internal sealed class JsonLinesLog(Stream stream) : IBuildLog
{
    /// <summary>Characters of one text: even with every one escaped as \uXXXX the line stays under 1 MiB.</summary>
    private const int LongestText = 64 * 1024;

    private static readonly TimeSpan ProgressInterval = TimeSpan.FromMilliseconds(100);

    private readonly Lock _gate = new();
    private long _lastProgress;

    public void Phase(string phase)
    {
        _lastProgress = 0;
        Write(new ServeAnswer("phase", Phase: phase));
    }

    public void Progress(string phase, int done, int total)
    {
        if (done < total && _lastProgress != 0 && Stopwatch.GetElapsedTime(_lastProgress) < ProgressInterval)
            return;
        _lastProgress = Stopwatch.GetTimestamp();
        Write(new ServeAnswer("progress", Phase: phase, Done: done, Total: total));
    }

    public void Warning(string code, string message, string? file) => Write(new ServeAnswer("warning", Code: code, File: file, Message: Shorten(message)));

    public void Detail(string message) => Write(new ServeAnswer("message", Importance: "normal", Text: Shorten(message)));

    public void Error(Failure failure) =>
        Write(new ServeAnswer("error", Code: failure.Code, File: failure.File, Node: failure.Node, Message: Shorten(failure.Message)));

    public void Inputs(IReadOnlyList<string> files) => Write(new ServeAnswer("inputs", Files: files));

    public void Notice(string message) => Write(new ServeAnswer("message", Importance: "high", Text: Shorten(message)));

    public void Done(BuildResult result) => Write(new ServeAnswer(
        "done", Summary: result.Summary, Key: result.Key, Hit: result.Report.Stages?.GetValueOrDefault("model") == "store", Stages: result.Report.Stages));

    private void Write(ServeAnswer answer)
    {
        byte[] line = [.. JsonSerializer.SerializeToUtf8Bytes(answer, ServeJson.Lines.ServeAnswer), (byte)'\n'];
        lock (_gate)
        {
            stream.Write(line);
            stream.Flush();
        }
    }

    private static string Shorten(string text) => text.Length <= LongestText ? text : text[..LongestText] + " …";
}
