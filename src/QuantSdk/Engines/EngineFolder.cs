using System.Collections.Concurrent;
using System.Runtime.InteropServices;
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

    /// <exception cref="QuantSdkException">QSDK1004 where the folder cannot be made.</exception>
    public EngineFolder(string final)
    {
        _final = Path.TrimEndingDirectorySeparator(Path.GetFullPath(final));
        if (File.Exists(_final))
            throw new QuantSdkException("QSDK1004", $"Cannot write the folder '{_final}': it is a file.", _final);
        var id = Guid.NewGuid().ToString("N")[..12];
        (Staging, Scratch) = ($"{_final}.{id}.tmp", $"{_final}.{id}.scratch");
        Unfinished[this] = true;
        try
        {
            Directory.CreateDirectory(Staging);
            Directory.CreateDirectory(Scratch);
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
    public IReadOnlyList<EngineFile> Files(string target)
    {
        var files = Directory.GetFiles(Path.Combine(Staging, target)).Order(StringComparer.Ordinal).ToArray();
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
        foreach (var folder in (string[])[Staging, Scratch])
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
    }

    private const int AtCurrentFolder = -100;
    private const uint RenameExchange = 2;

    /// <summary>renameat2(2) with RENAME_EXCHANGE swaps two folders atomically.</summary>
    [LibraryImport("libc", EntryPoint = "renameat2", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int RenameAt2(int oldFolder, string oldPath, int newFolder, string newPath, uint flags);
}
