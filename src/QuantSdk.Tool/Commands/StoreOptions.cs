using System.CommandLine;
using QuantSdk.Store;

namespace QuantSdk.Tool.Commands;

/// <summary>Which store a command works with; without options the one that builds use.</summary>
internal sealed class StoreOptions
{
    private readonly Option<string?> _directory = new("--store") { Description = $"The store's folder; by default the environment's {StoreSettings.DirectoryVariable}, or a folder in the user's cache folder.", HelpName = "FOLDER" };
    private readonly Option<string?>? _mode;

    /// <param name="withMode">The command may write to it.</param>
    public StoreOptions(Command command, bool withMode)
    {
        command.Add(_directory);
        if (withMode)
            command.Add(_mode = new Option<string?>("--store-mode") { Description = $"{string.Join(", ", Enum.GetNames<StoreMode>())}. Default: {StoreMode.ReadWrite}.", HelpName = "MODE" });
    }

    /// <summary>Null where no store is to be used.</summary>
    public StoreSettings? Settings(ParseResult parse) => StoreSettings.Parse(parse.GetValue(_directory), null, _mode is null ? null : parse.GetValue(_mode), null, Environment.CurrentDirectory);

    /// <summary>The folder and its limit, whatever the mode.</summary>
    public (StoreFolder Folder, long Limit) Folder(ParseResult parse, string? gigabytes = null)
    {
        var settings = StoreSettings.Parse(parse.GetValue(_directory), null, nameof(StoreMode.ReadWrite), gigabytes, Environment.CurrentDirectory)
            ?? throw new Runtime.QuantSdkException("QSDK6003", "This user has no cache folder (HOME is not set). Name the store's folder with --store.");
        return (new StoreFolder(settings.Directory), settings.Limit);
    }
}
