using QuantSdk.Runtime;

namespace QuantSdk.Engines.TensorRt;

/// <summary>A trtexec that was found and has said its version.</summary>
/// <param name="Path">Absolute.</param>
/// <param name="Origin">How it was found: QuantSdkTrtExecPath, QUANTSDK_TRTEXEC, PATH, or the folder where it was.</param>
internal sealed record TrtExec(string Path, TensorRtVersion Version, string Origin)
{
    /// <summary>The oldest whose options are known.</summary>
    public static TensorRtVersion Oldest { get; } = new(8, 6, 0);

    /// <summary>The newest whose options are known; a newer one is taken for one with the same options.</summary>
    public static TensorRtVersion Newest { get; } = new(11, 1, 0);

    /// <summary>Whether it is newer than what is known of.</summary>
    public bool IsUnknown => (Version.Major, Version.Minor).CompareTo((Newest.Major, Newest.Minor)) > 0;

    /// <summary>Looks for trtexec and asks it for its version, which touches no GPU.</summary>
    /// <exception cref="QuantSdkException">QSDK4020: there is none. QSDK4021: the setting names none. QSDK4022: it does not say its version. QSDK4025: it is too old.</exception>
    public static TrtExec Find(TrtExecSettings settings, CancellationToken cancellation)
    {
        var (path, origin) = TrtExecLocator.Locate(settings, TrtExecPlaces.OfThisMachine());
        var version = TrtExecProbe.Version(path, settings.ProbeFile, TrtExecProbe.Patience, cancellation);
        return version >= Oldest
            ? new TrtExec(path, version, origin)
            : throw new QuantSdkException("QSDK4025", $"'{path}' ({origin}) is trtexec of TensorRT {version.Release}; {Oldest.Major}.{Oldest.Minor} is the oldest whose options are known. Install a newer TensorRT, or name its trtexec in QuantSdkTrtExecPath.", path);
    }
}
