using System.CommandLine;
using QuantSdk.Engines;
using QuantSdk.Tool.Output;
using Spectre.Console;

namespace QuantSdk.Tool.Commands;

/// <summary>What verifying found.</summary>
/// <param name="Damaged">The files that were deleted.</param>
internal sealed record StoreVerification(string Directory, int Entries, IReadOnlyList<string> Damaged);

internal sealed class StoreVerifyCommand : StageCommand<StoreVerification>
{
    private readonly StoreOptions _store;

    public StoreVerifyCommand()
        : base("verify", "Reads everything in the store against its hash and deletes what is damaged; builds make that anew.", """

            Builds do the same to each file that they use. Hashes find damage, not forgery: whoever can write to a store is trusted.
            """, ToolJson.Readable.StoreVerification) => _store = new StoreOptions(this, withMode: false);

    protected override StoreVerification Execute(ParseResult parse, IBuildLog log, CancellationToken cancellation)
    {
        var (folder, _) = _store.Folder(parse);
        var damaged = folder.Verify(cancellation);
        return new StoreVerification(folder.Directory, folder.Records().Count(), damaged);
    }

    protected override void Print(StoreVerification result, IAnsiConsole console)
    {
        foreach (var file in result.Damaged)
            Terminal.Line(console, $"damaged, deleted: {file}");
        Terminal.Line(console, $"{result.Directory}: {result.Entries} entries are whole, {result.Damaged.Count} files were damaged.");
    }
}
