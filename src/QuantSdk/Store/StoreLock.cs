using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace QuantSdk.Store;

/// <summary>
/// Keeps two builds from doing the same work at once. Nothing depends on it for being right: where it cannot be had (a folder that is only
/// read, a network share without locks) both work, and the second result replaces the first by an equal one.
/// </summary>
internal sealed partial class StoreLock : IDisposable
{
    private static readonly TimeSpan Poll = TimeSpan.FromMilliseconds(50);

    private readonly FileStream? _file;

    private StoreLock(FileStream? file) => _file = file;

    /// <param name="waiting">Called once where another build holds it.</param>
    public static StoreLock Take(string path, Action waiting, CancellationToken cancellation) => TakeAny([path], waiting, cancellation);

    /// <summary>The first of several that is free.</summary>
    /// <param name="paths">Files of one folder.</param>
    /// <param name="waiting">Called once where others hold all of them.</param>
    public static StoreLock TakeAny(IReadOnlyList<string> paths, Action waiting, CancellationToken cancellation)
    {
        try
        {
            Directory.CreateDirectory(Path.GetDirectoryName(paths[0])!);
        }
        catch (Exception e) when (FileSystemError.Is(e))
        {
            return new StoreLock(null);
        }
        for (var said = false; ; said = true)
        {
            foreach (var path in paths)
            {
                try
                {
                    return new StoreLock(new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None, 1, FileOptions.DeleteOnClose));
                }
                catch (IOException e) when (IsHeld(e))
                {
                    // The next one, or the next round.
                }
                catch (Exception e) when (FileSystemError.Is(e))
                {
                    return new StoreLock(null);
                }
            }
            if (!said)
                waiting();
            cancellation.WaitHandle.WaitOne(Poll);
            cancellation.ThrowIfCancellationRequested();
        }
    }

    /// <summary>
    /// Programs that are started from now on hold it, too: where this process is killed, it is free when they have ended. On Linux; elsewhere it is
    /// free at once.
    /// </summary>
    public StoreLock Inherited()
    {
        if (_file is not null && OperatingSystem.IsLinux())
        {
            const int setFlags = 2;
            _ = FileControl(_file.SafeFileHandle, setFlags, 0);
        }
        return this;
    }

    public void Dispose() => _file?.Dispose();

    /// <summary>Flag 1, FD_CLOEXEC, which .NET sets on every file, keeps a file from programs that are started.</summary>
    [LibraryImport("libc", EntryPoint = "fcntl")]
    private static partial int FileControl(SafeFileHandle file, int command, int flags);

    /// <summary>EWOULDBLOCK of flock(2) (11 on Linux, 35 on macOS); a sharing violation on Windows.</summary>
    private static bool IsHeld(IOException e) => OperatingSystem.IsWindows() ? (e.HResult & 0xFFFF) is 32 or 33 : e.HResult is 11 or 35;
}
