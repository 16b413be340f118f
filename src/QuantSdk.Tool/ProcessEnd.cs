using System.Runtime.InteropServices;
using QuantSdk.Engines;

namespace QuantSdk.Tool;

/// <summary>The end of a process whose work does not stop when asked: a call into ONNX Runtime may take long and cannot be broken off.</summary>
internal static partial class ProcessEnd
{
    /// <summary>How long the work may take to stop by itself.</summary>
    private static readonly TimeSpan Grace = TimeSpan.FromSeconds(1.5);

    /// <summary>Cancels; after the grace deletes what is half written and ends the process.</summary>
    public static void Cancel(CancellationTokenSource cancellation)
    {
        var end = new Thread(() =>
        {
            Thread.Sleep(Grace);
            EngineFolder.DeleteUnfinished();
            // exit(3) would wait for native threads that still compute.
            if (OperatingSystem.IsWindows())
                Environment.Exit(ExitCode.Cancelled);
            else
                ExitNow(ExitCode.Cancelled);
        }) { IsBackground = true };
        end.Start();
        cancellation.Cancel();
    }

    [LibraryImport("libc", EntryPoint = "_exit")]
    private static partial void ExitNow(int code);
}
