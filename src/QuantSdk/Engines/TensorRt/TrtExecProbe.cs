using System.ComponentModel;
using System.Globalization;
using QuantSdk.Runtime;

namespace QuantSdk.Engines.TensorRt;

/// <summary>
/// Asks a trtexec for its version: `--help` prints a banner with it first in every version from 8.6 to 11.1, and touches no GPU. The answer is
/// remembered by path, size and time of the file.
/// </summary>
internal static class TrtExecProbe
{
    /// <summary>Loading TensorRT's libraries (2 GB) from a cold disk takes long.</summary>
    public static TimeSpan Patience { get; } = TimeSpan.FromMinutes(2);

    /// <exception cref="QuantSdkException">QSDK4022: it cannot be started, does not end, or says no version.</exception>
    public static TensorRtVersion Version(string path, string? remembered, TimeSpan patience, CancellationToken cancellation)
    {
        var identity = Identity(path);
        if (remembered is not null && Recall(remembered, identity) is { } known)
            return known;
        var version = Ask(path, patience, cancellation);
        if (remembered is not null)
            Remember(remembered, identity, version);
        return version;
    }

    private static TensorRtVersion Ask(string path, TimeSpan patience, CancellationToken cancellation)
    {
        using var timeout = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        timeout.CancelAfter(patience);
        TensorRtVersion? version = null;
        var said = new List<string>();
        int status;
        try
        {
            status = TrtExecProcess.Run(path, ["--help"], (line, _) =>
            {
                version ??= TrtExecBanner.Parse(line)?.Version;
                if (said.Count < 3 && line.Trim().Length > 0)
                    said.Add(line.Trim());
            }, timeout.Token);
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            throw new QuantSdkException("QSDK4022", string.Create(CultureInfo.InvariantCulture, $"'{path} --help' did not end within {patience.TotalSeconds:0} s. Run it by hand: a hanging driver or network share shows there too."), path);
        }
        catch (Exception e) when (e is Win32Exception || FileSystemError.Is(e))
        {
            throw new QuantSdkException("QSDK4022", $"'{path}' cannot be run: {e.Message} Name a trtexec for this machine in QuantSdkTrtExecPath.", path, inner: e);
        }
        return version ?? throw new QuantSdkException("QSDK4022",
            $"'{path} --help' ended with status {status} and did not say which TensorRT it is of{(said.Count == 0 ? " (it said nothing)" : $": {string.Join(" / ", said)}")}. " +
            "Where it misses libraries, put TensorRT's lib folder on LD_LIBRARY_PATH (PATH on Windows); where it is another program, name the right one in QuantSdkTrtExecPath.", path);
    }

    private static string Identity(string path)
    {
        var file = new FileInfo(File.ResolveLinkTarget(path, returnFinalTarget: true)?.FullName ?? path);
        return string.Create(CultureInfo.InvariantCulture, $"{file.Length} {file.LastWriteTimeUtc.Ticks} {path}");
    }

    /// <summary>The file has one line: a version, then what it is the version of.</summary>
    private static TensorRtVersion? Recall(string file, string identity)
    {
        try
        {
            return File.Exists(file) && File.ReadAllText(file).TrimEnd('\n').Split(' ', 2) is [var version, var of] && of == identity ? TensorRtVersion.Parse(version) : null;
        }
        catch (Exception e) when (FileSystemError.Is(e))
        {
            return null;
        }
    }

    private static void Remember(string file, string identity, TensorRtVersion version)
    {
        var temporary = $"{file}.{Guid.NewGuid():N}.tmp";
        try
        {
            Directory.CreateDirectory(Path.GetDirectoryName(file)!);
            File.WriteAllText(temporary, $"{version} {identity}\n");
            File.Move(temporary, file, overwrite: true);
        }
        catch (Exception e) when (FileSystemError.Is(e))
        {
            // It is asked again next time.
            File.Delete(temporary);
        }
    }
}
