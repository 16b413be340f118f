namespace QuantSdk.Tasks;

/// <summary>The diagnostics of this assembly; each has a page in docs/diagnostics. Those of the targets (0001 to 0003, 1901 to 1903, 1906) stand there.</summary>
internal static class DiagnosticCode
{
    public const string ToolNotStarted = "QSDK0010";
    public const string ToolDied = "QSDK0011";
    public const string ToolEndedUnexpectedly = "QSDK0012";
    public const string LineTooLong = "QSDK0013";
    public const string MalformedAnswer = "QSDK0014";
    public const string FileNotWritten = "QSDK0015";
    public const string StateNotWritable = "QSDK0016";
    public const string ReportNotWritten = "QSDK0017";
    public const string RunLost = "QSDK0018";
    // The tool's, too: it checks what it is given by hand.
    public const string MetadataUnknown = "QSDK1022";
    public const string PatternMatchesNothing = "QSDK1904";
    public const string SeparatorInPath = "QSDK1905";
}
