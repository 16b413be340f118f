namespace QuantSdk.Numerics;

/// <summary>The grid of a tensor's integer codes: w ≈ scale·(q − zero point).</summary>
/// <param name="Scales">One a block; never zero, subnormal, infinite or NaN.</param>
/// <param name="ZeroPoints">One a block, of the codes' own signed range; null where all are 0.</param>
internal sealed record IntGrid(IntFormat Format, IntBlockGeometry Geometry, float[] Scales, sbyte[]? ZeroPoints)
{
    /// <summary>The least code.</summary>
    public int Low => Format.Low;

    /// <summary>The greatest code.</summary>
    public int High => Format.High;
}
