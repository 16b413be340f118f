using System.Runtime.InteropServices;

namespace QuantSdk.Tool;

/// <summary>
/// Beyond a file size limit (<c>ulimit -f</c>) the kernel sends SIGXFSZ, which ends the process without a word.
/// Once handled, the write fails with EFBIG instead, an IOException like that of a full disk.
/// </summary>
internal static class QuotaSignal
{
    /// <summary>The same number on Linux (x64, arm64) and macOS.</summary>
    private const int FileSizeExceeded = 25;

    private static PosixSignalRegistration? s_registration;

    public static void Ignore()
    {
        if (!OperatingSystem.IsWindows())
            s_registration ??= PosixSignalRegistration.Create((PosixSignal)FileSizeExceeded, context => context.Cancel = true);
    }
}
