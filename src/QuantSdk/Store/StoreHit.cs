using System.Text;

namespace QuantSdk.Store;

/// <summary>A record that was found, with the folder that has its files.</summary>
internal sealed record StoreHit(string Key, StoreRecord Record, StoreFolder Folder)
{
    /// <exception cref="DamagedStoreException">The record has no such value.</exception>
    public string Value(string name) => Record.Values.GetValueOrDefault(name) ?? throw new DamagedStoreException();

    /// <exception cref="DamagedStoreException">The record has no such value.</exception>
    public T ValueJson<T>(string name) where T : class => QuantSdkJson.Read<T>(Value(name)) ?? throw new DamagedStoreException();

    /// <exception cref="DamagedStoreException">The file is not what was stored.</exception>
    public T Json<T>(string file, string scratch) where T : class => QuantSdkJson.Read<T>(Text(file, scratch)) ?? throw new DamagedStoreException();

    public bool Has(string file) => Record.Files.Any(f => f.Path == file);

    /// <summary>Copies a file of the record.</summary>
    /// <exception cref="DamagedStoreException">It is not what was stored.</exception>
    public void Copy(string file, string destination)
    {
        if (Record.Files.FirstOrDefault(f => f.Path == file) is not { } stored || !Folder.TryCopy(stored, destination))
            throw new DamagedStoreException();
    }

    /// <summary>The text of a file, by way of a copy.</summary>
    /// <exception cref="DamagedStoreException">It is not what was stored.</exception>
    public string Text(string file, string scratch)
    {
        var copy = Path.Combine(scratch, $"{Key[..16]}.{file.Replace('/', '.')}");
        Copy(file, copy);
        return File.ReadAllText(copy, Encoding.UTF8);
    }
}

/// <summary>What was found in the store is not what was put there: it is made anew.</summary>
internal sealed class DamagedStoreException : Exception;
