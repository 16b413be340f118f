using Microsoft.Build.Framework;

namespace QuantSdk.Tasks;

/// <summary>The metadata of a QuantizedModel item that are about the model.</summary>
internal static class ItemMetadata
{
    // Set by IDEs or the SDK on any item; they say nothing about the engine.
    private static readonly string[] s_ofAnyItem = ["Visible", "Link", "LinkBase", "Watch", "SubType", "DependentUpon"];

    /// <summary>The names of those that have a value, without the ones of our own targets.</summary>
    public static IEnumerable<string> NamesOf(ITaskItem item) =>
        item.CloneCustomMetadata().Keys.Cast<string>().Where(name => item.GetMetadata(name).Length > 0 && !name.StartsWith("QuantSdk", StringComparison.Ordinal) && !s_ofAnyItem.Contains(name));
}
