namespace QuantSdk.Calibration;

/// <summary>Magnitudes of a range, each ≥ 0, as they are averaged and compared.</summary>
/// <param name="Low">−low of a range that contains 0.</param>
/// <param name="High">high of it.</param>
/// <param name="Amax">The largest |x|. Its mean over batches is not that of the longer end.</param>
internal readonly record struct RangeEnds(double Low, double High, double Amax)
{
    /// <summary>As the range that a calibrator gives.</summary>
    public CalibratedRange Calibrated => new(new ValueRange(0f - (float)Low, (float)High), (float)Amax);

    public static RangeEnds Of(ValueRange range)
    {
        var (low, high) = ValueRange.Containing0(range.Low, range.High);
        return new RangeEnds(-low, high, Math.Max(-low, high));
    }

    /// <summary>One of many: each magnitude for itself.</summary>
    public static RangeEnds Reduce(IReadOnlyCollection<RangeEnds> all, Func<IEnumerable<double>, double> one) =>
        new(one(all.Select(e => e.Low)), one(all.Select(e => e.High)), one(all.Select(e => e.Amax)));
}
