namespace QuantSdk.Tool.Serve;

/// <summary>Standard input of `serve`: a line with the request, then nothing until it is closed, which means stop.</summary>
internal sealed class RequestReader(Stream stream)
{
    private const int LongestRequest = 16 << 20;

    /// <summary>The request, without its line break.</summary>
    /// <exception cref="Runtime.QuantSdkException">QSDK9002 where the input ends before the line does.</exception>
    public byte[] ReadLine()
    {
        var line = new MemoryStream();
        var buffer = new byte[64 * 1024];
        while (stream.Read(buffer) is > 0 and var count)
        {
            var end = buffer.AsSpan(0, count).IndexOf((byte)'\n');
            line.Write(buffer.AsSpan(0, end < 0 ? count : end));
            if (end >= 0)
                return line.ToArray();
            if (line.Length > LongestRequest)
                throw ServeRequest.Malformed($"is longer than {LongestRequest} bytes");
        }
        throw ServeRequest.Malformed(line.Length == 0 ? "is empty" : "ends before its line does");
    }

    /// <summary>Calls <paramref name="closed"/> from a thread of its own once the input is closed: the build was cancelled, or it died.</summary>
    public void WhenClosed(Action closed) => new Thread(() =>
    {
        var buffer = new byte[256];
        try
        {
            while (stream.Read(buffer) > 0)
            {
            }
        }
        catch (IOException)
        {
            // Broken is closed.
        }
        closed();
    }) { IsBackground = true, Name = "standard input" }.Start();
}
