using System.Globalization;

namespace QuantSdk.TrtExecStandIn;

/// <summary>A release of TensorRT that the stand-in plays.</summary>
/// <param name="Number">What trtexec prints: 8601, 101303.</param>
/// <param name="Build">Printed since 10.4.</param>
public sealed record StandInVersion(int Major, int Minor, int Patch, int Build)
{
    /// <summary>One release of every family whose options differ.</summary>
    public static IReadOnlyList<StandInVersion> All { get; } = [new(8, 6, 1, 6), new(9, 3, 0, 1), new(10, 0, 1, 6), new(10, 13, 3, 9), new(10, 16, 0, 72), new(11, 1, 0, 106)];

    public int Number => Major <= 9 ? Major * 1000 + Minor * 100 + Patch : Major * 10000 + Minor * 100 + Patch;

    /// <summary>10.13.3.</summary>
    public string Release => string.Create(CultureInfo.InvariantCulture, $"{Major}.{Minor}.{Patch}");

    /// <summary>10.13.</summary>
    public string Family => string.Create(CultureInfo.InvariantCulture, $"{Major}.{Minor}");

    /// <summary>TensorRT v101303] [b9.</summary>
    public string Banner => string.Create(CultureInfo.InvariantCulture, $"[TensorRT v{Number}]{(AtLeast(10, 4) ? $" [b{Build}]" : "")}");

    public static StandInVersion Of(string family) => All.FirstOrDefault(v => v.Family == family) ?? throw new ArgumentException($"The stand-in plays {string.Join(", ", All.Select(v => v.Family))}.", nameof(family));

    public bool AtLeast(int major, int minor) => (Major, Minor).CompareTo((major, minor)) >= 0;

    public override string ToString() => Family;
}
