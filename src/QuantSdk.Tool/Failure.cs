using QuantSdk.Runtime;

namespace QuantSdk.Tool;

/// <summary>Any exception as what a user is told: a code, a message, the file and the node.</summary>
/// <param name="Stack">For a defect of QuantSdk itself: what the report needs; never shown as the message.</param>
internal sealed record Failure(string Code, string Message, string? File, string? Node, string? Stack)
{
    /// <param name="output">What was being written, for errors that name no file.</param>
    public static Failure Of(Exception exception, string? output)
    {
        switch (Unwrap(exception))
        {
            case QuantSdkException e:
                return new Failure(e.Code, OneLine(e.Message), e.File, e.Node, null);
            case OutOfMemoryException:
                return new Failure("QSDK9003", "There is not enough memory for this model. Close other programs, build fewer models at once, or give the machine or container more.", null, null, null);
            case var e when FileSystemError.Is(e) && e is not FileNotFoundException:
                return new Failure("QSDK1004", $"Cannot write {(output is null ? "the output" : $"'{output}'")}: {OneLine(FileSystemError.Reason(e))}", output, null, null);
            case var e:
                return new Failure("QSDK9001", $"A defect of QuantSdk: {e.GetType().Name}: {OneLine(e.Message)} Please report it with the log (the stack trace is on standard error, in builds with -v:detailed).", null, null, exception.ToString());
        }
    }

    /// <summary>True where the work stopped because it was asked to.</summary>
    public static bool IsCancellation(Exception exception) => Unwrap(exception) is OperationCanceledException;

    private static Exception Unwrap(Exception exception) => exception switch
    {
        AggregateException { InnerExceptions: [var first, ..] } => Unwrap(first),
        System.Reflection.TargetInvocationException { InnerException: { } inner } => Unwrap(inner),
        _ => exception,
    };

    /// <summary>Native libraries put stack traces and line breaks into their messages.</summary>
    private static string OneLine(string message)
    {
        var lines = message.Split('\n', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);
        return string.Join(' ', lines.TakeWhile(line => !line.StartsWith("Stacktrace", StringComparison.OrdinalIgnoreCase) && !line.StartsWith("at ", StringComparison.Ordinal)));
    }
}
