using System.Globalization;

namespace QuantSdk.Bench;

/// <summary>What a benchmark prints: lines for people as it goes, then the figures by name.</summary>
internal sealed class Report
{
    private readonly List<(string Name, double Value)> _figures = [];

    public void Line(string text = "") => Console.WriteLine(text);

    /// <summary>Columns of equal width, the first one wide.</summary>
    public void Row(params ReadOnlySpan<string> cells)
    {
        Console.Write($"  {cells[0],-34}");
        foreach (var cell in cells[1..])
            Console.Write($"{cell,14}");
        Console.WriteLine();
    }

    public void Figure(string name, double value) => _figures.Add((name, value));

    public void WriteFigures()
    {
        foreach (var (name, value) in _figures)
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"figure {name} {Number(value)}"));
        Console.Out.Flush();
    }

    /// <summary>Four decimals; of what is too small for them, three digits.</summary>
    private static string Number(double value) => Math.Abs(value) is > 0 and < 0.001 ? value.ToString("0.##e-0", CultureInfo.InvariantCulture) : Math.Round(value, 4).ToString(CultureInfo.InvariantCulture);
}
