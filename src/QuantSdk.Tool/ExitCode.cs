namespace QuantSdk.Tool;

/// <summary>What the process ends with.</summary>
internal static class ExitCode
{
    public const int Done = 0;

    /// <summary>An error with a code, which has been reported.</summary>
    public const int Failed = 1;

    /// <summary>The command line is wrong.</summary>
    public const int Usage = 2;

    /// <summary>128 + SIGINT, as shells expect.</summary>
    public const int Cancelled = 130;
}
