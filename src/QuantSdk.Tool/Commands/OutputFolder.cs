using QuantSdk.Runtime;

namespace QuantSdk.Tool.Commands;

/// <summary>A folder that a command replaces whole: it must be new, empty, or made by this tool.</summary>
internal static class OutputFolder
{
    /// <param name="own">Names of the files and folders that the command writes.</param>
    /// <exception cref="QuantSdkException">QSDK1005 where something else lies in it.</exception>
    public static void Check(string folder, params string[] own)
    {
        if (!Directory.Exists(folder))
            return;
        var foreign = Directory.EnumerateFileSystemEntries(folder).Select(e => Path.GetFileName(e)!).FirstOrDefault(e => !own.Contains(e));
        if (foreign is not null)
            throw new QuantSdkException("QSDK1005", $"'{folder}' would be replaced, and '{foreign}' in it is not of this tool. Name a folder that is new, empty or written by the same command.", folder);
    }
}
