namespace QuantSdk.Caching.Schedules;

/// <summary>
/// Student's paired test of the logarithms of errors: whether the typical row gains, by more than rows scatter. The errors of rows differ by orders of magnitude, so that
/// a few rows decide which of two sums is less.
/// </summary>
internal static class PairedTest
{
    /// <summary>The standard normal deviate that 1 % lie above.</summary>
    private const double Deviate = 2.3263;

    /// <summary>Whether one has the lesser errors, where less than 1 % of samples without a difference would show it. Never for fewer than two rows.</summary>
    /// <param name="one">The errors of rows, 0 or more.</param>
    public static bool IsClearlyLess(IReadOnlyList<double> one, IReadOnlyList<double> other)
    {
        double[] gains = [.. one.Zip(other, (own, theirs) => Logarithm(theirs) - Logarithm(own))];
        if (gains.Length < 2)
            return false;
        var mean = gains.Average();
        var error = Math.Sqrt(gains.Sum(gain => (gain - mean) * (gain - mean)) / (gains.Length - 1) / gains.Length);
        return mean > Quantile(gains.Length - 1) * error;

        static double Logarithm(double error) => Math.Log(Math.Max(error, double.Epsilon));
    }

    /// <summary>Of Student's distribution, 99 % (Abramowitz and Stegun 1964, 26.7.5): too small by 2 % with 2 degrees of freedom, by 0.4 % with 3.</summary>
    private static double Quantile(int freedom)
    {
        const double Z = Deviate, Z2 = Z * Z;
        var v = 1.0 / freedom;
        return Z * (1 + v * ((Z2 + 1) / 4 + v * ((5 * Z2 * Z2 + 16 * Z2 + 3) / 96 + v * ((3 * Z2 * Z2 * Z2 + 19 * Z2 * Z2 + 17 * Z2 - 15) / 384
            + v * (79 * Z2 * Z2 * Z2 * Z2 + 776 * Z2 * Z2 * Z2 + 1482 * Z2 * Z2 - 1920 * Z2 - 945) / 92160))));
    }
}
