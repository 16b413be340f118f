namespace QuantSdk.Planning;

/// <summary>Finds the microseconds for each feature of a kernel from measured times.</summary>
internal static class CostFit
{
    private const int Sweeps = 20_000;

    /// <summary>
    /// Coefficients ≥ 0 that make the least sum of squared relative errors: coordinate descent on the normal equations, which
    /// for a convex function over a box ends in its minimum.
    /// </summary>
    /// <param name="rows">Features and time of each measurement.</param>
    public static double[] Coefficients(IReadOnlyList<(double[] Features, double Microseconds)> rows)
    {
        var count = rows[0].Features.Length;
        var gram = new double[count, count];
        var target = new double[count];
        foreach (var (features, time) in rows)
        {
            // Relative: a layer of a microsecond counts as much as one of a millisecond.
            var weight = 1 / Math.Max(time, 0.05);
            for (var i = 0; i < count; i++)
            {
                target[i] += features[i] * weight * (time * weight);
                for (var j = 0; j < count; j++)
                    gram[i, j] += features[i] * weight * (features[j] * weight);
            }
        }
        var coefficients = new double[count];
        for (var sweep = 0; sweep < Sweeps; sweep++)
        {
            var moved = 0.0;
            for (var i = 0; i < count; i++)
            {
                if (gram[i, i] == 0)
                    continue;
                var gradient = target[i];
                for (var j = 0; j < count; j++)
                    gradient -= gram[i, j] * coefficients[j];
                var next = Math.Max(0, coefficients[i] + gradient / gram[i, i]);
                moved = Math.Max(moved, Math.Abs(next - coefficients[i]) * Math.Sqrt(gram[i, i]));
                coefficients[i] = next;
            }
            if (moved < 1e-12)
                break;
        }
        return coefficients;
    }
}
