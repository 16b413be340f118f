namespace QuantSdk.Tasks;

/// <summary>A model's stamps: `NAME.HASH.stamp`, where HASH covers the options. At most one exists, and only while the engine folder matches it.</summary>
internal static class Stamps
{
    /// <summary>Deletes the stamps of every option set of the model. Done before the work starts: a stamp that outlived its engine would, after a flip back, vouch for the wrong one.</summary>
    public static void DeleteAll(string stamp)
    {
        var name = NameOf(stamp);
        foreach (var file in Directory.EnumerateFiles(Path.GetDirectoryName(stamp)!, name + ".*.stamp"))
            if (NameOf(file) == name) File.Delete(file);
    }

    /// <summary>Writes the stamp as of the moment the work began, so that an input changed meanwhile makes it stale.</summary>
    public static void Write(string stamp, DateTime startedUtc) => AtomicFile.Write(stamp, [], startedUtc);

    // A name may have dots; a hash, which is a number, has none.
    private static string NameOf(string stamp) => Path.GetFileNameWithoutExtension(Path.GetFileNameWithoutExtension(stamp));
}
