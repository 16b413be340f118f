using QuantSdk.Runtime;

namespace QuantSdk.Tool.Commands;

/// <summary>Writes a file whole or not at all.</summary>
internal static class OutputFile
{
    /// <exception cref="QuantSdkException">QSDK1004.</exception>
    public static void Write(string path, string text) => Write(path, stream => stream.Write(System.Text.Encoding.UTF8.GetBytes(text)));

    /// <inheritdoc cref="Write(string, string)"/>
    public static void Write(string path, Action<Stream> write)
    {
        var temporary = $"{path}.{Guid.NewGuid().ToString("N")[..12]}.tmp";
        try
        {
            Directory.CreateDirectory(Path.GetDirectoryName(path)!);
            using (var stream = File.Create(temporary))
                write(stream);
            File.Move(temporary, path, overwrite: true);
        }
        catch (Exception e) when (FileSystemError.Is(e))
        {
            File.Delete(temporary);
            throw new QuantSdkException("QSDK1004", $"Cannot write '{path}': {FileSystemError.Reason(e)}", path, inner: e);
        }
    }
}
