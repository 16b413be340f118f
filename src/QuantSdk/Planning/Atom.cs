using QuantSdk.Calibration;

namespace QuantSdk.Planning;

/// <summary>
/// A value that a channel takes again and again: the background of a page, the padding of a row. Its rounding error is the same at every place
/// that has it, so that it does not average out behind the next weights as other rounding errors do; a grid with the value on it has none.
/// </summary>
/// <param name="Share">Of all positions.</param>
internal readonly record struct Atom(float Value, double Share)
{
    private const double LeastShare = 0.05;

    /// <summary>What an error shared by many places weighs against an independent one.</summary>
    private const double Weight = 16;

    /// <summary>The atom of each channel, a share of 0 where there is none.</summary>
    public static Atom[] Of(ChannelSample sample)
    {
        var atoms = new Atom[sample.Channels];
        var patterns = new int[sample.Count];
        for (var c = 0; c < atoms.Length; c++)
        {
            // Sums in another order differ in their last bits.
            for (var p = 0; p < patterns.Length; p++)
                patterns[p] = (BitConverter.SingleToInt32Bits(sample.Position(p)[c]) + (1 << 9)) >> 10;
            patterns.AsSpan().Sort();
            var (most, value) = (0, 0);
            for (int i = 0, start = 0; i < patterns.Length; i++)
            {
                if (patterns[i] != patterns[start])
                    start = i;
                if (i - start + 1 > most)
                    (most, value) = (i - start + 1, patterns[i]);
            }
            var share = (double)most / Math.Max(1, patterns.Length);
            if (share >= LeastShare)
                atoms[c] = new Atom(BitConverter.Int32BitsToSingle(value << 10), share);
        }
        return atoms;
    }

    /// <summary>
    /// The factor ≥ 1 on a grid's step that puts the value on the grid: s' = |v|/⌊|v|/s⌋, so that the range grows and nothing is clipped. 1 where
    /// wider steps would cost the other values more: Δ² / 12 each, against the square of the atom's own error.
    /// </summary>
    public double Widening(double step)
    {
        var codes = Math.Abs(Value) / step;
        var whole = Math.Floor(codes + 1e-6);
        if (Share == 0 || whole < 1)
            return 1;
        var factor = codes / whole;
        var own = (Math.Round(codes) - codes) * (Math.Round(codes) - codes);
        return (1 - Share) / 12 * (factor * factor - 1) < Weight * Share * own ? Math.Max(1, factor) : 1;
    }

    /// <summary>The centre nearest to <paramref name="centre"/> that leaves the value a whole number of steps away.</summary>
    public float Centre(float centre, float step) => Share == 0 ? centre : (float)(Value - Math.Round((Value - centre) / (double)step) * step);
}
