using System.Globalization;
using QuantSdk.Runtime;

namespace QuantSdk.Engines.TensorRt;

/// <summary>
/// Shapes in trtexec's grammar: <c>name:dims[,name:dims]*</c>, dims being numbers with x between. A name may stand in single quotes, and where it
/// does not, the last colon ends it.
/// </summary>
internal static class ShapeText
{
    /// <summary>An input's name with its dimensions; a name may hold one * in place of any characters.</summary>
    /// <exception cref="QuantSdkException">QSDK4027: the text is not in the grammar.</exception>
    public static IReadOnlyList<(string Name, long[] Dims)> Parse(string metadata, string text)
    {
        var shapes = new List<(string, long[])>();
        foreach (var part in text.Split(','))
        {
            var item = part.Trim();
            var colon = item.LastIndexOf(':');
            if (colon <= 0)
                throw Wrong(metadata, text, item.Length == 0 ? "an entry is empty" : $"'{item}' has no ':' between name and dimensions");
            var name = item[..colon];
            if (name.Contains('\''))
                name = name.Length > 2 && name[0] == '\'' && name[^1] == '\'' && name.Count(c => c == '\'') == 2 ? name[1..^1] : throw Wrong(metadata, text, $"the quotes of {name} do not stand around it");
            var dims = item[(colon + 1)..] is "scalar" or "" ? [] : item[(colon + 1)..].Split('x').Select(d => Number(metadata, text, item, d)).ToArray();
            if (shapes.Any(s => s.Item1 == name))
                throw Wrong(metadata, text, $"'{name}' is there twice");
            shapes.Add((name, dims));
        }
        return shapes;
    }

    /// <summary>A name as trtexec reads it back, quoted where it has a colon.</summary>
    /// <exception cref="QuantSdkException">QSDK4028: the grammar has no way to write it.</exception>
    public static string Quote(string name, string model)
    {
        foreach (var c in name)
        {
            if (c is ',' or '\'' or '*' || char.IsControl(c))
                throw new QuantSdkException("QSDK4028", $"The input '{name}' has a dynamic shape, and trtexec cannot be told one for a name with {(char.IsControl(c) ? "a control character" : $"the character {c}")}. Rename the input in the model, or give it a fixed shape.", model);
        }
        return name.Contains(':') ? $"'{name}'" : name;
    }

    /// <summary>What stands after --minShapes= and its like.</summary>
    public static string Write(IEnumerable<(string Name, IReadOnlyList<long> Dims)> shapes, string model) =>
        string.Join(',', shapes.Select(s => $"{Quote(s.Name, model)}:{(s.Dims.Count == 0 ? "scalar" : string.Join('x', s.Dims.Select(d => d.ToString(CultureInfo.InvariantCulture))))}"));

    /// <summary>trtexec reads them by std::stoi.</summary>
    private static long Number(string metadata, string text, string item, string digits) =>
        int.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : throw Wrong(metadata, text, $"'{digits}' in '{item}' is not a whole number from 0 to {int.MaxValue}");

    private static QuantSdkException Wrong(string metadata, string text, string what) =>
        new("QSDK4027", $"{metadata}='{text}': {what}. Write NAME:DIMxDIM…, a comma between inputs: sample:2x4x64x64,timestep:2.");
}
