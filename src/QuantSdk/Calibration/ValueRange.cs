namespace QuantSdk.Calibration;

/// <summary>A closed range of values that contains 0, as quantisation with an exact zero needs.</summary>
internal readonly record struct ValueRange(float Low, float High)
{
    public float Amax => Math.Max(-Low, High);

    /// <summary>The range widened to contain 0.</summary>
    public static ValueRange Containing0(float low, float high) => new(Math.Min(low, 0), Math.Max(high, 0));

    /// <summary>The part within ±<paramref name="amax"/>.</summary>
    public ValueRange Clip(float amax) => new(Math.Max(Low, -amax), Math.Min(High, amax));
}
