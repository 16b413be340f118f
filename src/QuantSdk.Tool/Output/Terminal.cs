using System.Globalization;
using QuantSdk.Runtime;
using Spectre.Console;

namespace QuantSdk.Tool.Output;

/// <summary>The two streams, and the few forms of text that the commands print.</summary>
internal static class Terminal
{
    /// <summary>Wide enough that nothing wraps in a file or a pipe.</summary>
    private const int Unwrapped = 100_000;

    public static IAnsiConsole Output { get; } = Create(Console.Out, Console.IsOutputRedirected);

    public static IAnsiConsole Error { get; } = Create(Console.Error, Console.IsErrorRedirected);

    /// <summary>Whether progress can be drawn.</summary>
    public static bool IsLive => !Console.IsErrorRedirected && Error.Profile.Capabilities.Ansi;

    public static void Line(IAnsiConsole console, string text) => console.WriteLine(text);

    /// <summary>Names with values, one a line.</summary>
    public static void Facts(IAnsiConsole console, params IReadOnlyList<(string Name, string Value)> facts)
    {
        var width = facts.Max(f => f.Name.Length) + 2;
        foreach (var (name, value) in facts)
            console.MarkupLineInterpolated($"[bold]{name.PadRight(width)}[/]{value}");
    }

    /// <summary>A table on a terminal; aligned columns that other programs can cut elsewhere.</summary>
    public static void Table(IAnsiConsole console, IReadOnlyList<string> columns, IEnumerable<string[]> rows)
    {
        if (Console.IsOutputRedirected)
        {
            string[][] lines = [[.. columns], .. rows];
            var widths = columns.Select((_, c) => lines.Max(l => l[c].Length) + 2).ToArray();
            foreach (var line in lines)
                console.WriteLine(string.Concat(line.Select((cell, c) => cell.PadRight(widths[c]))).TrimEnd());
            return;
        }
        var table = new Table().Border(TableBorder.Simple);
        foreach (var column in columns)
            table.AddColumn(new TableColumn(new Text(column, new Style(decoration: Decoration.Bold))));
        foreach (var row in rows)
            table.AddRow(row.Select(cell => new Text(cell)));
        console.Write(table);
    }

    /// <summary>sample float[-1,4,64,64].</summary>
    public static string Tensor(TensorInfo tensor) => $"{tensor.Name} {tensor.Type}{TensorShape.Text(tensor.Shape)}";

    public static string Megabytes(long bytes) => string.Create(CultureInfo.InvariantCulture, $"{bytes / 1e6:0.0##} MB");

    private static IAnsiConsole Create(TextWriter writer, bool isRedirected)
    {
        var console = AnsiConsole.Create(new AnsiConsoleSettings
        {
            Out = new AnsiConsoleOutput(writer),
            Ansi = isRedirected ? AnsiSupport.No : AnsiSupport.Detect,
            ColorSystem = isRedirected ? ColorSystemSupport.NoColors : ColorSystemSupport.Detect,
        });
        if (isRedirected)
            console.Profile.Width = Unwrapped;
        return console;
    }
}
