using QuantSdk.Engines;
using QuantSdk.Runtime;

namespace QuantSdk.Store;

/// <summary>The folder of the settings with the shared one behind it. Whatever is wrong with them costs work, never a build.</summary>
internal sealed class ModelStore(StoreSettings settings, IBuildLog log)
{
    private readonly StoreFolder _own = new(settings.Directory);
    private readonly StoreFolder? _shared = settings.SharedDirectory is { } shared ? new StoreFolder(shared) : null;
    private bool _isWritable = settings.Mode == StoreMode.ReadWrite;
    private bool _wrote;

    /// <summary>What <paramref name="read"/> makes of the record of a key, or null where there is none that is whole.</summary>
    public T? Read<T>(string key, Func<StoreHit, T> read) where T : class
    {
        foreach (var folder in (StoreFolder?[])[_own, _shared])
        {
            if (folder?.Find(key, Damaged) is not { } record)
                continue;
            try
            {
                var result = read(new StoreHit(key, record, folder));
                folder.Touch(key);
                return result;
            }
            catch (Exception e) when (e is DamagedStoreException or System.Text.Json.JsonException or EndOfStreamException or InvalidDataException)
            {
                Damaged(key);
                if (folder == _own && _isWritable)
                    folder.Delete(key);
            }
        }
        return null;
    }

    /// <summary>Keeps what a stage made.</summary>
    /// <param name="files">By the name they are to have, relative with '/'; and their hash where it is known.</param>
    public void Add(string key, string stage, string name, IReadOnlyDictionary<string, string> values, IReadOnlyList<(string Name, string Path, string? Hash)> files, IReadOnlyList<StoredWarning> warnings)
    {
        if (!_isWritable)
            return;
        try
        {
            _own.AddRecord(key, new StoreRecord(stage, name, values, [.. files.Select(f => _own.AddBlob(f.Name, f.Path, f.Hash))], warnings));
            _wrote = true;
        }
        catch (Exception e) when (FileSystemError.Is(e))
        {
            _isWritable = false;
            var message = $"The store '{settings.Directory}' cannot be written: {FileSystemError.Reason(e)} The model is built all the same and is not kept for other builds. Free the disk, correct the permissions, name another folder ({StoreSettings.DirectoryVariable}), or set {StoreSettings.ModeVariable} to Read or Off.";
            if (settings.IsDefault)
                log.Detail(message);
            else
                log.Warning("QSDK6001", message, settings.Directory);
        }
    }

    /// <summary>Waits for another build that is making the same.</summary>
    /// <param name="name">The model's, for the one who waits.</param>
    public StoreLock Lock(string key, string name, CancellationToken cancellation) =>
        StoreLock.Take(_own.LockPath(key), () => log.Notice($"{name}: another build is making the same engine; waiting for it."), cancellation);

    /// <summary>Once after a build: what is over the limit goes.</summary>
    public void Trim()
    {
        if (!_wrote)
            return;
        try
        {
            if (_own.Bytes() > settings.Limit)
            {
                // Well below, so that not every build prunes.
                var pruned = _own.Prune(settings.Limit / 5 * 4);
                log.Detail($"store: {pruned.Records} records and {pruned.Bytes >> 20} MB were not used for longest and are deleted");
            }
        }
        catch (Exception e) when (FileSystemError.Is(e))
        {
            log.Detail($"store: not pruned: {FileSystemError.Reason(e)}");
        }
    }

    private void Damaged(string what) =>
        log.Warning("QSDK6002", $"The store '{settings.Directory}' holds damaged data ({Path.GetFileName(what)}); it is made anew. `quantsdk store verify` checks the rest.", settings.Directory);
}
