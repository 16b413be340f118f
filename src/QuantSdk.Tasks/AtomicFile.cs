namespace QuantSdk.Tasks;

/// <summary>Writing so that a reader, or a kill at any moment, meets the old file or the new one.</summary>
internal static class AtomicFile
{
    /// <summary>Writes the file, creating its folder.</summary>
    /// <param name="writeTime">The time the file is to carry; now where it is null.</param>
    public static void Write(string path, ReadOnlySpan<byte> content, DateTime? writeTime = null)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        var temporary = $"{path}.{Guid.NewGuid():N}.tmp";
        try
        {
            File.WriteAllBytes(temporary, content);
            if (writeTime is { } time) File.SetLastWriteTimeUtc(temporary, time);
            File.Move(temporary, path, overwrite: true);
        }
        finally
        {
            File.Delete(temporary);
        }
    }
}
