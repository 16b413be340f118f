using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.RegularExpressions;
using QuantSdk.Onnx;
using QuantSdk.Runtime;

namespace QuantSdk.Engines;

/// <summary>
/// An engine's folder while it is being made: everything is written beside the final one, then the two change places in one step,
/// so that a kill at any moment leaves the old engine or the new one.
/// </summary>
internal sealed partial class EngineFolder : IDisposable
{
    private static readonly ConcurrentDictionary<EngineFolder, bool> Unfinished = new();

    private readonly string _final;
    private FileStream? _sign;

    /// <exception cref="QuantSdkException">QSDK1004 where the folder cannot be made.</exception>
    public EngineFolder(string final)
    {
        _final = Path.TrimEndingDirectorySeparator(Path.GetFullPath(final));
        if (File.Exists(_final))
            throw new QuantSdkException("QSDK1004", $"Cannot write the folder '{_final}': it is a file.", _final);
        DeleteAbandoned(_final);
        var id = Guid.NewGuid().ToString("N")[..12];
        (Staging, Scratch) = ($"{_final}.{id}.tmp", $"{_final}.{id}.scratch");
        Unfinished[this] = true;
        try
        {
            Directory.CreateDirectory(Scratch);
            _sign = new FileStream(SignOf(Scratch), FileMode.CreateNew, FileAccess.Write, FileShare.None);
            _sign.Write(Encoding.UTF8.GetBytes(Owner));
            _sign.Flush();
            Directory.CreateDirectory(Staging);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            Dispose();
            throw new QuantSdkException("QSDK1004", $"Cannot write '{_final}': {e.Message}", _final, inner: e);
        }
    }

    /// <summary>Where the engine is written.</summary>
    public string Staging { get; }

    /// <summary>For intermediate files.</summary>
    public string Scratch { get; }

    /// <summary>Makes the folder of a target and returns the path of its model.onnx.</summary>
    public string Model(string target) => Path.Combine(Directory.CreateDirectory(Path.Combine(Staging, target)).FullName, "model.onnx");

    /// <summary>Writes a portable graph and its data.</summary>
    public string Write(string target, ModelProto model)
    {
        var path = Model(target);
        OnnxFile.Save(model, path, Path.ChangeExtension(path, ".data"));
        return path;
    }

    /// <summary>Deletes what was written, for another engine to be built in its place.</summary>
    public void Clear()
    {
        Directory.Delete(Staging, recursive: true);
        Directory.CreateDirectory(Staging);
    }

    /// <summary>The files written for a target, with sizes and hashes, in ordinal order.</summary>
    /// <param name="among">Their names, where two targets share a folder.</param>
    public IReadOnlyList<EngineFile> Files(string target, IReadOnlyList<string>? among = null)
    {
        var files = Directory.GetFiles(Path.Combine(Staging, target)).Where(f => among?.Contains(Path.GetFileName(f)) != false).Order(StringComparer.Ordinal).ToArray();
        return [.. files.Zip(TreeHash.OfFiles(files, Environment.ProcessorCount), (f, hash) => new EngineFile($"{target}/{Path.GetFileName(f)}", new FileInfo(f).Length, hash))];
    }

    /// <summary>Puts the new engine in the place of the old one.</summary>
    /// <exception cref="QuantSdkException">QSDK1004.</exception>
    public void Commit()
    {
        try
        {
            if (!Directory.Exists(_final))
            {
                Directory.Move(Staging, _final);
                return;
            }
            if (OperatingSystem.IsLinux() && RenameAt2(AtCurrentFolder, Staging, AtCurrentFolder, _final, RenameExchange) == 0)
                return;
            var old = Staging + ".old";
            Directory.Move(_final, old);
            Directory.Move(Staging, _final);
            Directory.Delete(old, recursive: true);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new QuantSdkException("QSDK1004", $"Cannot replace '{_final}': {e.Message}", _final, inner: e);
        }
    }

    /// <summary>Deletes what the process is still making, before it ends in the middle of it.</summary>
    public static void DeleteUnfinished()
    {
        foreach (var folder in Unfinished.Keys)
            folder.Dispose();
    }

    public void Dispose()
    {
        Unfinished.TryRemove(this, out _);
        _sign?.Dispose();
        Delete(Staging);
        Delete(Scratch);
    }

    /// <summary>Deletes what processes that were killed have left of this engine.</summary>
    private static void DeleteAbandoned(string final)
    {
        var parent = Path.GetDirectoryName(final);
        if (!Directory.Exists(parent))
            return;
        foreach (var scratch in Directory.GetDirectories(parent, Path.GetFileName(final) + ".*.scratch").Where(f => LeftOver(final).IsMatch(f) && IsAbandoned(f)))
        {
            var staging = Path.ChangeExtension(scratch, ".tmp");
            Delete(staging);
            Delete(staging + ".old");
            Delete(scratch);
        }
    }

    /// <summary>A living owner holds the file open; where a file system knows no locks, its process tells. One of another machine may be alive.</summary>
    private static bool IsAbandoned(string scratch)
    {
        try
        {
            var owner = File.ReadAllText(SignOf(scratch)).Split(' ');
            return owner is [var machine, var id] && machine == Environment.MachineName && !IsRunning(int.Parse(id, CultureInfo.InvariantCulture));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or FormatException)
        {
            return false;
        }
    }

    // One that was killed and that nobody waits for is still listed.
    private static bool IsRunning(int id)
    {
        try
        {
            if (OperatingSystem.IsLinux())
            {
                var status = File.ReadAllText($"/proc/{id}/stat");
                return status[status.LastIndexOf(')') + 2] is not ('Z' or 'X');
            }
            using var process = Process.GetProcessById(id);
            return true;
        }
        catch (Exception e) when (e is ArgumentException or FileNotFoundException or DirectoryNotFoundException)
        {
            return false;
        }
    }

    private static string SignOf(string scratch) => Path.Combine(scratch, "owner");

    private static string Owner => string.Create(CultureInfo.InvariantCulture, $"{Environment.MachineName} {Environment.ProcessId}");

    private static Regex LeftOver(string final) => new($@"^{Regex.Escape(final)}\.[0-9a-f]{{12}}\.scratch\z", RegexOptions.CultureInvariant);

    private static void Delete(string folder)
    {
        try
        {
            if (Directory.Exists(folder))
                Directory.Delete(folder, recursive: true);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // A left-over is in nobody's way: its name is never used again.
        }
    }

    private const int AtCurrentFolder = -100;
    private const uint RenameExchange = 2;

    /// <summary>renameat2(2) with RENAME_EXCHANGE swaps two folders atomically.</summary>
    [LibraryImport("libc", EntryPoint = "renameat2", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int RenameAt2(int oldFolder, string oldPath, int newFolder, string newPath, uint flags);
}
