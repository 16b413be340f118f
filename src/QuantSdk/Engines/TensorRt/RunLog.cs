namespace QuantSdk.Engines.TensorRt;

/// <summary>Keeps everything that trtexec writes, as it comes; where the file cannot be written, nothing.</summary>
internal sealed class RunLog : IDisposable
{
    private StreamWriter? _writer;

    /// <param name="path">Null: nowhere.</param>
    public RunLog(string? path)
    {
        if (path is null)
            return;
        try
        {
            Directory.CreateDirectory(System.IO.Path.GetDirectoryName(path)!);
            _writer = new StreamWriter(path, append: false) { NewLine = "\n", AutoFlush = true };
            Path = path;
        }
        catch (Exception e) when (FileSystemError.Is(e))
        {
            // A build without its log is better than none.
        }
    }

    public string? Path { get; }

    public void Write(string line)
    {
        try
        {
            _writer?.WriteLine(line);
        }
        catch (Exception e) when (FileSystemError.Is(e))
        {
            Close();
        }
    }

    public void Dispose() => Close();

    private void Close()
    {
        var writer = _writer;
        _writer = null;
        try
        {
            writer?.Dispose();
        }
        catch (Exception e) when (FileSystemError.Is(e))
        {
            // The disk is full, which whatever is written next says.
        }
    }
}
