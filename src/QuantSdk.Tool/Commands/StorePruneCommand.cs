using System.CommandLine;
using QuantSdk.Engines;
using QuantSdk.Tool.Output;
using Spectre.Console;

namespace QuantSdk.Tool.Commands;

/// <summary>What pruning deleted.</summary>
internal sealed record StorePruning(string Directory, int Entries, long Bytes, long BytesLeft);

internal sealed class StorePruneCommand : StageCommand<StorePruning>
{
    private readonly StoreOptions _store;
    private readonly Option<string?> _limit = new("--limit") { Description = "Gigabytes to keep; by default the store's limit.", HelpName = "GB" };

    public StorePruneCommand()
        : base("prune", "Deletes what was not used for longest until the store is within its limit, and what a killed build left.", """

            Examples:
              quantsdk store prune
              quantsdk store prune --limit 5
            """, ToolJson.Readable.StorePruning)
    {
        Add(_limit);
        _store = new StoreOptions(this, withMode: false);
    }

    protected override StorePruning Execute(ParseResult parse, IBuildLog log, CancellationToken cancellation)
    {
        var (folder, limit) = _store.Folder(parse, parse.GetValue(_limit));
        var pruned = folder.Prune(limit);
        return new StorePruning(folder.Directory, pruned.Records, pruned.Bytes, folder.Bytes());
    }

    protected override void Print(StorePruning result, IAnsiConsole console) =>
        Terminal.Line(console, $"{result.Directory}: {result.Entries} entries deleted, {Terminal.Megabytes(result.Bytes)} freed, {Terminal.Megabytes(result.BytesLeft)} left.");
}
