using System.Globalization;
using System.Text;

namespace QuantSdk.Serving;

/// <summary>Writes the text format of protocol buffers: fields, messages and lists, two spaces a level, <c>\n</c> on every system.</summary>
internal sealed class TextProto
{
    private readonly StringBuilder _text = new();
    private int _level;

    public void Comment(string line) => Line("# " + line);

    public void Field(string name, string text) => Line($"{name}: {Quote(text)}");

    public void Field(string name, long number) => Line(string.Create(CultureInfo.InvariantCulture, $"{name}: {number}"));

    public void Field(string name, bool value) => Line($"{name}: {(value ? "true" : "false")}");

    /// <summary>An enumeration's value.</summary>
    public void Word(string name, string word) => Line($"{name}: {word}");

    public void List(string name, IEnumerable<long> numbers) => Line($"{name}: [ {string.Join(", ", numbers.Select(n => n.ToString(CultureInfo.InvariantCulture)))} ]".Replace("[  ]", "[ ]", StringComparison.Ordinal));

    public void List(string name, IEnumerable<string> texts) => Line($"{name}: [ {string.Join(", ", texts.Select(Quote))} ]");

    public void Message(string name, Action body)
    {
        Line(name + " {");
        _level++;
        body();
        _level--;
        Line("}");
    }

    public override string ToString() => _text.ToString();

    private void Line(string text) => _text.Append(' ', 2 * _level).Append(text).Append('\n');

    /// <summary>Bytes outside of printable ASCII as three octal digits each.</summary>
    private static string Quote(string text)
    {
        var quoted = new StringBuilder("\"");
        foreach (var value in Encoding.UTF8.GetBytes(text))
            _ = value switch
            {
                (byte)'"' or (byte)'\\' => quoted.Append('\\').Append((char)value),
                >= 0x20 and < 0x7f => quoted.Append((char)value),
                _ => quoted.Append('\\').Append(Convert.ToString(value, 8).PadLeft(3, '0')),
            };
        return quoted.Append('"').ToString();
    }
}
