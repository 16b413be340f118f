using System.Diagnostics;
using System.Runtime.InteropServices;

namespace QuantSdk.StandInTool;

internal static class Signals
{
    // A signal that another process sends the runtime survives; this one is its own.
    public static void Crash() => LengthOf(1);

    [DllImport("libc", EntryPoint = "strlen")]
    private static extern nint LengthOf(nint address);

    public static void KillSelf()
    {
        using var self = Process.GetCurrentProcess();
        self.Kill();
        Thread.Sleep(Timeout.Infinite);
    }
}
