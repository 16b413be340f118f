using System.Globalization;
using System.Text.RegularExpressions;
using QuantSdk.Runtime;

namespace QuantSdk.Calibration;

/// <summary>`all`, or a closed range of timestep values `LOW-HIGH`.</summary>
internal sealed partial record TimestepSelection(double Low, double High)
{
    public static TimestepSelection All { get; } = new(double.NegativeInfinity, double.PositiveInfinity);

    /// <exception cref="QuantSdkException">QSDK1020.</exception>
    public static TimestepSelection Parse(string text)
    {
        if (text.Equals("all", StringComparison.OrdinalIgnoreCase))
            return All;
        var match = RangeRegex().Match(text);
        if (match.Success && Number("low") is var low && Number("high") is var high && low <= high)
            return new TimestepSelection(low, high);
        throw new QuantSdkException("QSDK1020", $"Timesteps='{text}' is neither 'all' nor a range of timestep values LOW-HIGH, such as 0-400.");

        double Number(string group) => double.Parse(match.Groups[group].ValueSpan, NumberStyles.Float, CultureInfo.InvariantCulture);
    }

    public bool Contains(float timestep) => timestep >= Low && timestep <= High;

    public override string ToString() => double.IsInfinity(Low) ? "all" : string.Create(CultureInfo.InvariantCulture, $"{Low}-{High}");

    [GeneratedRegex(@"^\s*(?<low>[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?)\s*-\s*(?<high>[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?)\s*$", RegexOptions.CultureInvariant)]
    private static partial Regex RangeRegex();
}
