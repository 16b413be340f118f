using System.Runtime.CompilerServices;
using QuantSdk.Tool.Serve;

namespace QuantSdk.Tool;

internal static class Program
{
    private static int Main(string[] arguments)
    {
        QuotaSignal.Ignore();
        OrtTelemetry.Disable();
        // The build's path: nothing of the command line is loaded for it.
        return arguments is ["serve"] ? ServeCommand.Run() : RunByHand(arguments);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static int RunByHand(string[] arguments) => Commands.CommandLine.Run(arguments);
}
