namespace QuantSdk.Runtime;

/// <summary>Paths that a file names and that must stay inside a folder, also after links are followed.</summary>
internal static class ConfinedPath
{
    /// <summary>The full path of <paramref name="relative"/> inside <paramref name="root"/>, or null with the reason why it is refused.</summary>
    public static string? Resolve(string root, string relative, out string? refusal)
    {
        refusal = Refuse(relative);
        if (refusal is not null)
            return null;
        var full = Path.GetFullPath(Path.Combine(root, relative));
        try
        {
            var (realRoot, real) = (FollowLinks(Path.GetFullPath(root)), FollowLinks(full));
            if (real.StartsWith(Path.TrimEndingDirectorySeparator(realRoot) + Path.DirectorySeparatorChar, StringComparison.Ordinal))
                return full;
            refusal = $"a link leads to '{real}', outside of '{realRoot}'";
        }
        catch (IOException e)
        {
            refusal = e.Message;
        }
        return null;
    }

    private static string? Refuse(string relative) =>
        relative.Length == 0 ? "it is empty"
        : relative.Contains('\0') ? "it holds a null character"
        : relative.Contains('\\') || relative.Contains(':') ? "it holds '\\' or ':'; segments are separated by '/'"
        : Path.IsPathRooted(relative) ? "it is absolute"
        : relative.Split('/').Any(segment => segment is "" or "." or "..") ? "it has an empty, '.' or '..' segment"
        : null;

    /// <summary>Replaces every link on the way by what it points to. What does not exist is kept as it is.</summary>
    internal static string FollowLinks(string path)
    {
        var real = Path.GetPathRoot(path)!;
        foreach (var segment in path[real.Length..].Split(Path.DirectorySeparatorChar, StringSplitOptions.RemoveEmptyEntries))
        {
            real = Path.Combine(real, segment);
            FileSystemInfo entry = Directory.Exists(real) ? new DirectoryInfo(real) : new FileInfo(real);
            // The target may itself lie behind links.
            if (entry.LinkTarget is not null && entry.ResolveLinkTarget(returnFinalTarget: true) is { } target)
                real = FollowLinks(target.FullName);
        }
        return real;
    }
}
