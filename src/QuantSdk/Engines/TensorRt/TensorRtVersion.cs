using System.Globalization;

namespace QuantSdk.Engines.TensorRt;

/// <summary>A version of TensorRT.</summary>
internal readonly record struct TensorRtVersion(int Major, int Minor, int Patch, int Build = 0) : IComparable<TensorRtVersion>
{
    /// <summary>The number that trtexec prints: major·1000 + minor·100 + patch up to 9, major·10000 + minor·100 + patch from 10 on.</summary>
    public static TensorRtVersion OfNumber(int number, int build = 0) =>
        number < 10_000 ? new(number / 1000, number / 100 % 10, number % 100, build) : new(number / 10_000, number / 100 % 100, number % 100, build);

    /// <summary>Three or four numbers with dots between, or null.</summary>
    public static TensorRtVersion? Parse(string text)
    {
        var parts = text.Split('.');
        int[] numbers = [.. parts.Select(p => int.TryParse(p, NumberStyles.None, CultureInfo.InvariantCulture, out var n) ? n : -1)];
        return numbers.Length is < 2 or > 4 || numbers.Contains(-1) ? null : new(numbers[0], numbers[1], numbers.ElementAtOrDefault(2), numbers.ElementAtOrDefault(3));
    }

    public int CompareTo(TensorRtVersion other) => (Major, Minor, Patch, Build).CompareTo((other.Major, other.Minor, other.Patch, other.Build));

    public static bool operator <(TensorRtVersion a, TensorRtVersion b) => a.CompareTo(b) < 0;

    public static bool operator >(TensorRtVersion a, TensorRtVersion b) => a.CompareTo(b) > 0;

    public static bool operator <=(TensorRtVersion a, TensorRtVersion b) => a.CompareTo(b) <= 0;

    public static bool operator >=(TensorRtVersion a, TensorRtVersion b) => a.CompareTo(b) >= 0;

    /// <summary>major.minor.patch.</summary>
    public string Release => string.Create(CultureInfo.InvariantCulture, $"{Major}.{Minor}.{Patch}");

    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Release}.{Build}");
}
