using System.Globalization;
using System.Text.RegularExpressions;

namespace QuantSdk.TrtExecStandIn;

/// <summary>std::stoi and std::stof: what stands before the first character that is no digit.</summary>
internal static partial class CppNumbers
{
    public static int Stoi(string text)
    {
        var match = WholeRegex().Match(text);
        if (!match.Success)
            throw new OptionException("stoi");
        return int.TryParse(match.Value.Trim(), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var number) ? number : throw new OptionException("stoi", isUncaught: true);
    }

    public static double Stof(string text) => NumberRegex().Match(text) is { Success: true } match ? double.Parse(match.Value.Trim(), NumberStyles.Float, CultureInfo.InvariantCulture) : throw new OptionException("stof");

    [GeneratedRegex(@"^\s*[+-]?\d+")]
    private static partial Regex WholeRegex();

    [GeneratedRegex(@"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")]
    private static partial Regex NumberRegex();
}
