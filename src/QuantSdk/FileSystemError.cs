namespace QuantSdk;

/// <summary>Exceptions by which the file system says no: full, over quota, read-only, not permitted.</summary>
internal static class FileSystemError
{
    /// <summary>
    /// IOException and UnauthorizedAccessException; and for EFBIG (a file size limit) .NET throws an ArgumentOutOfRangeException
    /// from within System.IO.
    /// </summary>
    public static bool Is(Exception exception) =>
        exception is IOException or UnauthorizedAccessException
        || (exception is ArgumentOutOfRangeException && exception.StackTrace?.TrimStart().StartsWith("at System.IO.", StringComparison.Ordinal) == true);

    /// <summary>The reason without the name of a parameter that nobody passed.</summary>
    public static string Reason(Exception exception) =>
        exception is ArgumentOutOfRangeException ? "a file grew beyond the size that the file system or `ulimit -f` allows." : exception.Message;
}
