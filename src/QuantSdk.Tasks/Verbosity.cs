using Microsoft.Build.Framework;

namespace QuantSdk.Tasks;

/// <summary>How loud a model's build is: the property QuantSdkVerbosity moves its messages against MSBuild's own verbosity.</summary>
internal enum Verbosity
{
    /// <summary>The summary lines, too, are for `-v:n` and louder.</summary>
    Quiet,

    /// <summary>A summary line a model; at `-v:n` the recipe and the times of the phases; at `-v:d` whatever the tool's libraries print.</summary>
    Normal,

    /// <summary>Everything is shown.</summary>
    Detailed,
}

internal static class VerbosityExtensions
{
    /// <summary>The importance that a message gets.</summary>
    public static MessageImportance Of(this Verbosity verbosity, MessageImportance importance) => verbosity switch
    {
        Verbosity.Quiet when importance == MessageImportance.High => MessageImportance.Normal,
        Verbosity.Quiet => MessageImportance.Low,
        Verbosity.Detailed => MessageImportance.High,
        _ => importance,
    };
}
