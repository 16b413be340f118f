namespace QuantSdk.Numerics;

/// <summary>A per-tensor 8-bit grid: x ≈ scale·(q − zero point).</summary>
internal readonly record struct Int8Grid(float Scale, int ZeroPoint, bool Signed)
{
    /// <summary>u8 over [low, high]: scale = (high − low)/255, zero point = round(−low/scale), so that 0 is exact.</summary>
    public static Int8Grid Asymmetric(float low, float high)
    {
        var scale = (high - low) / 255;
        // A tensor that is always zero still needs a positive scale.
        if (!(scale > Int8Weights.LeastScale))
            return new Int8Grid(1, 0, false);
        return new Int8Grid(scale, (int)Math.Clamp(MathF.Round(-low / scale, MidpointRounding.ToEven), 0, 255), false);
    }

    /// <summary>s8 over ±amax: scale = amax/127, zero point 0.</summary>
    public static Int8Grid Symmetric(float amax) => new(amax / 127 > Int8Weights.LeastScale ? amax / 127 : 1, 0, true);
}
