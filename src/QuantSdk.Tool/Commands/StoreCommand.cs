using System.CommandLine;

namespace QuantSdk.Tool.Commands;

/// <summary>The results of earlier builds: what is kept, how much, and whether it is whole.</summary>
internal sealed class StoreCommand : Command
{
    public StoreCommand()
        : base("store", "Looks after the store, where builds keep what they made: list, prune, verify.")
    {
        Add(new StoreListCommand());
        Add(new StorePruneCommand());
        Add(new StoreVerifyCommand());
    }
}
