using System.Globalization;
using QuantSdk.Runtime;

namespace QuantSdk.Store;

/// <summary>Which folders keep the results of earlier builds.</summary>
/// <param name="Directory">Read, and written to where <paramref name="Mode"/> says so.</param>
/// <param name="SharedDirectory">Read where the first has nothing, never written to; or null.</param>
/// <param name="Limit">Bytes that <paramref name="Directory"/> may have; what was not used for longest goes first.</param>
/// <param name="IsDefault">Nobody named the folder: where it cannot be used, nothing is said.</param>
internal sealed record StoreSettings(string Directory, string? SharedDirectory, StoreMode Mode, long Limit, bool IsDefault)
{
    /// <summary>20 GB.</summary>
    public const double DefaultLimitGigabytes = 20;

    /// <summary>The names of the properties are those of environment variables as well, as MSBuild has it.</summary>
    public const string DirectoryVariable = "QuantSdkStoreDirectory", SharedVariable = "QuantSdkSharedStoreDirectory", ModeVariable = "QuantSdkStoreMode", LimitVariable = "QuantSdkStoreLimit";

    /// <summary>What was not given is taken from the environment, then the default.</summary>
    /// <param name="baseDirectory">What relative folders are relative to.</param>
    /// <exception cref="QuantSdkException">QSDK6003: a value that is not allowed.</exception>
    public static StoreSettings? Parse(string? directory, string? shared, string? mode, string? limit, string baseDirectory)
    {
        (directory, shared, mode, limit) = (Given(directory, DirectoryVariable), Given(shared, SharedVariable), Given(mode, ModeVariable), Given(limit, LimitVariable));
        if (!Enum.TryParse<StoreMode>(mode ?? nameof(StoreMode.ReadWrite), ignoreCase: true, out var parsed) || int.TryParse(mode, out _))
            throw new QuantSdkException("QSDK6003", $"{ModeVariable}='{mode}' is not allowed. Allowed: ReadWrite, Read, Off.");
        var gigabytes = DefaultLimitGigabytes;
        if (limit is not null && !(double.TryParse(limit, NumberStyles.Float, CultureInfo.InvariantCulture, out gigabytes) && gigabytes is > 0 and <= 1e9))
            throw new QuantSdkException("QSDK6003", $"{LimitVariable}='{limit}' is not a number of gigabytes above 0.");
        if (parsed == StoreMode.Off)
            return null;
        var folder = directory is null ? Default() : Path.GetFullPath(directory, baseDirectory);
        return folder is null ? null : new StoreSettings(folder, shared is null ? null : Path.GetFullPath(shared, baseDirectory), parsed, (long)(gigabytes * 1e9), directory is null);
    }

    /// <summary>The user's cache folder, or null where the system names none (a service without a home).</summary>
    private static string? Default()
    {
        var caches = OperatingSystem.IsWindows() ? Environment.GetFolderPath(Environment.SpecialFolder.LocalApplicationData)
            : Environment.GetEnvironmentVariable("XDG_CACHE_HOME") is { Length: > 0 } xdg && Path.IsPathFullyQualified(xdg) ? xdg
            : Environment.GetEnvironmentVariable("HOME") is { Length: > 0 } home ? Path.Combine(home, OperatingSystem.IsMacOS() ? "Library/Caches" : ".cache") : "";
        return caches.Length == 0 ? null : Path.Combine(caches, "quantsdk", "store");
    }

    private static string? Given(string? value, string variable) =>
        !string.IsNullOrWhiteSpace(value) ? value.Trim() : Environment.GetEnvironmentVariable(variable) is { } set && !string.IsNullOrWhiteSpace(set) ? set.Trim() : null;
}
