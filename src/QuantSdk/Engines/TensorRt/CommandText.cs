namespace QuantSdk.Engines.TensorRt;

/// <summary>A command for a person to read and to paste into a shell of Linux.</summary>
internal static class CommandText
{
    public static string Of(string program, IEnumerable<string> arguments) => string.Join(' ', arguments.Prepend(program).Select(Quote));

    private static string Quote(string word) =>
        word.Length > 0 && word.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '=' or '/' or '.' or ',' or ':' or '+' or '%' or '@' or '\\') ? word : $"'{word.Replace("'", @"'\''", StringComparison.Ordinal)}'";
}
