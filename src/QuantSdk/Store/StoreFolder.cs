using QuantSdk.Runtime;

namespace QuantSdk.Store;

/// <summary>
/// Results of stages in one folder: <c>records/ab/KEY</c> names files by what is in them, <c>blobs/ab/HASH</c> are these files.
/// Everything is written once beside its place and renamed into it, so that a kill, or another writer, leaves it whole or absent;
/// and it is read back by its hash, so that damage is found.
/// </summary>
internal sealed class StoreFolder(string directory)
{
    /// <summary>A blob that no record names may be one whose record is being written.</summary>
    private static readonly TimeSpan Grace = TimeSpan.FromHours(1);

    private const UnixFileMode ReadOnly = UnixFileMode.UserRead | UnixFileMode.GroupRead | UnixFileMode.OtherRead;

    // The layout's version: another one would live beside it.
    private readonly string _root = Path.Combine(directory, "v1");

    public string Directory => directory;

    /// <summary>The record of a key, or null. A damaged one is reported and is none.</summary>
    public StoreRecord? Find(string key, Action<string> damaged)
    {
        var path = RecordPath(key);
        byte[] bytes;
        try
        {
            bytes = File.ReadAllBytes(path);
        }
        catch (Exception e) when (FileSystemError.Is(e))
        {
            return null;
        }
        if (StoreRecord.Deserialize(bytes) is { } record)
            return record;
        damaged(path);
        return null;
    }

    /// <summary>The age of a record is that of its last use.</summary>
    public void Touch(string key)
    {
        try
        {
            File.SetLastWriteTimeUtc(RecordPath(key), DateTime.UtcNow);
        }
        catch (Exception e) when (FileSystemError.Is(e))
        {
            // A folder that is only read has no ages.
        }
    }

    /// <summary>Copies a record's file; false, with the blob deleted, where it is absent or not what its name says.</summary>
    public bool TryCopy(EngineFile file, string destination)
    {
        var blob = BlobPath(file.Hash);
        try
        {
            System.IO.Directory.CreateDirectory(Path.GetDirectoryName(destination)!);
            File.Copy(blob, destination, overwrite: true);
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException || (FileSystemError.Is(e) && !File.Exists(blob)))
        {
            return false;
        }
        MakeWritable(destination);
        if (new FileInfo(destination).Length == file.Bytes && TreeHash.OfFile(destination) == file.Hash)
            return true;
        File.Delete(destination);
        TryDelete(blob);
        return false;
    }

    /// <summary>Adds a file under the hash of its content.</summary>
    /// <param name="hash">Where it is known.</param>
    public EngineFile AddBlob(string name, string source, string? hash = null)
    {
        var bytes = new FileInfo(source).Length;
        hash ??= TreeHash.OfFile(source);
        var path = BlobPath(hash);
        // One that is there is not trusted: it may be the damaged one because of which this is added.
        if (!File.Exists(path) || new FileInfo(path).Length != bytes || TreeHash.OfFile(path) != hash)
            Place(path, temporary => File.Copy(source, temporary));
        return new EngineFile(name, bytes, hash);
    }

    public void AddRecord(string key, StoreRecord record) => Place(RecordPath(key), temporary => File.WriteAllBytes(temporary, record.Serialize()));

    public void Delete(string key) => TryDelete(RecordPath(key));

    /// <summary>Every record with its key, and when it was used last.</summary>
    public IEnumerable<StoreItem> Records()
    {
        foreach (var path in FilesOf("records"))
        {
            StoreRecord? record;
            DateTime used;
            try
            {
                (record, used) = (StoreRecord.Deserialize(File.ReadAllBytes(path)), File.GetLastWriteTimeUtc(path));
            }
            catch (Exception e) when (FileSystemError.Is(e))
            {
                // Another process prunes.
                continue;
            }
            yield return new StoreItem(Path.GetFileName(path), record, used);
        }
    }

    /// <summary>Bytes of all blobs.</summary>
    public long Bytes() => FilesOf("blobs").Sum(LengthOf);

    /// <summary>Deletes the records that were not used for longest until the rest has at most <paramref name="limit"/> bytes, then every blob that no record names.</summary>
    public StorePruned Prune(long limit)
    {
        var before = Bytes();
        var (kept, dropped) = (new HashSet<string>(StringComparer.Ordinal), new HashSet<string>(StringComparer.Ordinal));
        var (records, bytes) = (0, 0L);
        foreach (var item in Records().OrderByDescending(r => r.Used).ThenBy(r => r.Key, StringComparer.Ordinal))
        {
            var added = item.Record?.Files.Where(f => !kept.Contains(f.Hash)).DistinctBy(f => f.Hash).ToArray() ?? [];
            if (item.Record is not null && bytes + added.Sum(f => f.Bytes) <= limit)
            {
                kept.UnionWith(added.Select(f => f.Hash));
                bytes += added.Sum(f => f.Bytes);
                continue;
            }
            Delete(item.Key);
            dropped.UnionWith(item.Record?.Files.Select(f => f.Hash) ?? []);
            records++;
        }
        Sweep(kept, dropped);
        foreach (var path in FilesOf("tmp").Concat(FilesOf("locks")).Where(IsOld).ToArray())
            TryDelete(path);
        return new StorePruned(records, before - Bytes());
    }

    /// <summary>Hashes everything, and deletes what is damaged: blobs, and records that are unreadable or name a blob that is not there.</summary>
    /// <returns>What was deleted.</returns>
    public IReadOnlyList<string> Verify(CancellationToken cancellation)
    {
        var damaged = new List<string>();
        foreach (var path in FilesOf("blobs").ToArray())
        {
            cancellation.ThrowIfCancellationRequested();
            if (TreeHash.OfFile(path, cancellation) != Path.GetFileName(path))
                damaged.Add(path);
        }
        damaged.ForEach(TryDelete);
        var (kept, dropped) = (new HashSet<string>(StringComparer.Ordinal), new HashSet<string>(StringComparer.Ordinal));
        foreach (var item in Records().ToArray())
        {
            var isWhole = item.Record?.Files.All(f => File.Exists(BlobPath(f.Hash))) == true;
            (isWhole ? kept : dropped).UnionWith(item.Record?.Files.Select(f => f.Hash) ?? []);
            if (isWhole)
                continue;
            damaged.Add(RecordPath(item.Key));
            Delete(item.Key);
        }
        Sweep(kept, dropped);
        return damaged;
    }

    public string LockPath(string key) => Path.Combine(_root, "locks", key);

    private string RecordPath(string key) => Path.Combine(_root, "records", key[..2], key);

    private string BlobPath(string hash) => Path.Combine(_root, "blobs", hash[..2], hash);

    private IEnumerable<string> FilesOf(string kind)
    {
        var folder = Path.Combine(_root, kind);
        return System.IO.Directory.Exists(folder) ? System.IO.Directory.EnumerateFiles(folder, "*", SearchOption.AllDirectories).Order(StringComparer.Ordinal) : [];
    }

    /// <summary>Deletes blobs that no record names: those of a deleted record at once, others once nobody can be writing their record.</summary>
    private void Sweep(HashSet<string> kept, HashSet<string> dropped)
    {
        foreach (var path in FilesOf("blobs").Where(p => Path.GetFileName(p) is var hash && !kept.Contains(hash) && (dropped.Contains(hash) || IsOld(p))).ToArray())
            TryDelete(path);
    }

    private void Place(string path, Action<string> write)
    {
        var temporary = Path.Combine(_root, "tmp", Guid.NewGuid().ToString("N"));
        System.IO.Directory.CreateDirectory(Path.GetDirectoryName(temporary)!);
        System.IO.Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        try
        {
            write(temporary);
            if (!OperatingSystem.IsWindows())
                File.SetUnixFileMode(temporary, ReadOnly);
            File.SetLastWriteTimeUtc(temporary, DateTime.UtcNow);
            File.Move(temporary, path, overwrite: true);
        }
        finally
        {
            TryDelete(temporary);
        }
    }

    private static void MakeWritable(string path)
    {
        if (!OperatingSystem.IsWindows())
            File.SetUnixFileMode(path, ReadOnly | UnixFileMode.UserWrite);
    }

    private static bool IsOld(string path) => DateTime.UtcNow - File.GetLastWriteTimeUtc(path) > Grace;

    private static long LengthOf(string path)
    {
        try
        {
            return new FileInfo(path).Length;
        }
        catch (FileNotFoundException)
        {
            return 0;
        }
    }

    private static void TryDelete(string path)
    {
        try
        {
            File.Delete(path);
        }
        catch (Exception e) when (FileSystemError.Is(e))
        {
            // In use, or not ours to delete: it is in nobody's way.
        }
    }
}

/// <summary>A record in a folder.</summary>
/// <param name="Record">Null where it cannot be read.</param>
/// <param name="Used">When it was last of use, in UTC.</param>
internal sealed record StoreItem(string Key, StoreRecord? Record, DateTime Used);

/// <summary>What pruning did.</summary>
internal sealed record StorePruned(int Records, long Bytes);
