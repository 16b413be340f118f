namespace QuantSdk.Tool.Commands;

internal static class CommandLine
{
    public static int Run(string[] arguments) => ExitCode.Usage;
}
