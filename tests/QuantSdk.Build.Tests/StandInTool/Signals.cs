using System.Diagnostics;

namespace QuantSdk.StandInTool;

internal static class Signals
{
    public static void KillSelf()
    {
        using var self = Process.GetCurrentProcess();
        self.Kill();
        Thread.Sleep(Timeout.Infinite);
    }
}
