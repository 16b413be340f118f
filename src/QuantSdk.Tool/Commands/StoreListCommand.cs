using System.CommandLine;
using System.Globalization;
using QuantSdk.Engines;
using QuantSdk.Store;
using QuantSdk.Tool.Output;
using Spectre.Console;

namespace QuantSdk.Tool.Commands;

/// <summary>What is in the store.</summary>
/// <param name="Bytes">On disk; files that several entries have count once.</param>
internal sealed record StoreListing(string Directory, long Bytes, long Limit, IReadOnlyList<StoreListEntry> Entries);

/// <summary>The result of one stage.</summary>
/// <param name="Used">When a build last used it, in UTC.</param>
internal sealed record StoreListEntry(string Key, string Stage, string Name, long Bytes, DateTime Used);

internal sealed class StoreListCommand : StageCommand<StoreListing>
{
    private readonly StoreOptions _store;

    public StoreListCommand()
        : base("list", "Lists what builds have kept, the latest first.", """

            Examples:
              quantsdk store list
              quantsdk store list --store .quantsdk --json
            """, ToolJson.Readable.StoreListing) => _store = new StoreOptions(this, withMode: false);

    protected override StoreListing Execute(ParseResult parse, IBuildLog log, CancellationToken cancellation)
    {
        var (folder, limit) = _store.Folder(parse);
        return new StoreListing(
            folder.Directory, folder.Bytes(), limit,
            [.. folder.Records().OrderByDescending(r => r.Used).Select(r => new StoreListEntry(r.Key, r.Record?.Stage ?? "damaged", r.Record?.Name ?? "", r.Record?.Bytes ?? 0, r.Used))]);
    }

    protected override void Print(StoreListing result, IAnsiConsole console)
    {
        Terminal.Facts(console, ("store", result.Directory), ("size", $"{Terminal.Megabytes(result.Bytes)} of {Terminal.Megabytes(result.Limit)}"));
        if (result.Entries.Count > 0)
            Terminal.Table(console, ["model", "stage", "size", "last used", "key"],
                result.Entries.Select(e => (string[])[e.Name, e.Stage, Terminal.Megabytes(e.Bytes), e.Used.ToString("yyyy-MM-dd HH:mm", CultureInfo.InvariantCulture), e.Key[..12]]));
    }
}
