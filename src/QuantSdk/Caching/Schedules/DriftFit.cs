using System.Numerics.Tensors;

namespace QuantSdk.Caching.Schedules;

/// <summary>
/// Corrects how far errors carry by what whole runs have shown: Propagation is scaled by a curve over the steps, linear between a few knots, so that the predicted
/// changes of the samples come near the observed ones.
/// </summary>
internal static class DriftFit
{
    private const int Knots = 4, Sweeps = 60;

    /// <summary>Holds the curve near 1 as long as few runs speak against it.</summary>
    private const double Ridge = 0.05;

    /// <param name="observed">Schedules and ‖samples − uncached‖ of their runs.</param>
    public static DriftTable Apply(DriftTable table, IReadOnlyList<(int[] Full, double Change)> observed)
    {
        // The change is linear in the knots' factors, so its square is a quadratic form of them: one Gram matrix a schedule.
        var forms = observed.Select(o => (Gram: Gram(table, o.Full), o.Change)).Where(o => o.Gram is not null && o.Change > 0).ToArray();
        var factors = Enumerable.Repeat(1.0, Knots).ToArray();
        var loss = Loss();
        for (var (sweep, ratio) = (0, 1.3); sweep < Sweeps && ratio > 1.005; sweep++)
        {
            var improved = false;
            for (var knot = 0; knot < Knots; knot++)
            {
                foreach (var factor in (ReadOnlySpan<double>)[ratio, 1 / ratio])
                {
                    var before = factors[knot];
                    factors[knot] *= factor;
                    if (Loss() is var now && now < loss)
                        (loss, improved) = (now, true);
                    else
                        factors[knot] = before;
                }
            }
            if (!improved)
                ratio = Math.Sqrt(ratio);
        }
        return table with { Propagation = [.. table.Propagation.Select((p, step) => p * Enumerable.Range(0, Knots).Sum(knot => factors[knot] * Hat(knot, step, table.Steps)))] };

        double Loss()
        {
            var sum = 0.0;
            foreach (var factor in factors)
                sum += Ridge * Math.Pow(Math.Log(factor), 2);
            foreach (var (gram, change) in forms)
            {
                var square = 0.0;
                for (var a = 0; a < Knots; a++)
                    for (var b = 0; b < Knots; b++)
                        square += factors[a] * factors[b] * gram![a, b];
                sum += Math.Pow(0.5 * Math.Log(Math.Max(square, double.Epsilon)) - Math.Log(change), 2);
            }
            return sum;
        }
    }

    private static double[,]? Gram(DriftTable table, int[] full)
    {
        var parts = Enumerable.Range(0, Knots).Select(knot => table.Change(full, [.. table.Propagation.Select((p, step) => p * Hat(knot, step, table.Steps))])).ToArray();
        if (parts.Contains(null))
            return null;
        var gram = new double[Knots, Knots];
        for (var a = 0; a < Knots; a++)
            for (var b = 0; b < Knots; b++)
                gram[a, b] = TensorPrimitives.Dot<float>(parts[a], parts[b]);
        return gram;
    }

    /// <summary>1 at the knot, 0 at its neighbours and beyond.</summary>
    private static double Hat(int knot, int step, int steps) => Math.Max(0, 1 - Math.Abs((double)step * (Knots - 1) / Math.Max(1, steps - 1) - knot));
}
