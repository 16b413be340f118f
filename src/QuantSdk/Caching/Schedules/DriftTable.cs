using System.Numerics.Tensors;

namespace QuantSdk.Caching.Schedules;

/// <summary>
/// What it costs to reuse features, measured along uncached trajectories. To first order the final samples change by Σⱼ pⱼ·e(i → j), where i is the last full
/// step before j, e the change of step j's prediction and p how far it carries.
/// </summary>
/// <param name="Errors">
/// [i, j]: the prediction of step j on the features of step i less its own, guided as the loop is, over all rows. Null where it was not measured, and for i = j.
/// </param>
/// <param name="Propagation">[j]: by which factor an error of step j's prediction is found in the final samples.</param>
internal sealed record DriftTable(float[]?[,] Errors, double[] Propagation)
{
    /// <summary>Which error is the n-th, −1 where it was not measured, and e·e′ of all pairs: a search predicts thousands of schedules.</summary>
    private (int[,] Index, double[][] Dots)? _products;

    public int Steps => Propagation.Length;

    /// <summary>‖Σⱼ pⱼ·e(i → j)‖: what a schedule changes in the final samples, to first order. Infinite where an error was not measured.</summary>
    public double Predict(ReadOnlySpan<int> full)
    {
        var products = _products ??= Products();
        Span<int> errors = stackalloc int[Steps], steps = stackalloc int[Steps];
        var count = 0;
        for (int step = 0, next = 0, last = 0; step < Steps; step++)
        {
            if (next < full.Length && full[next] == step)
            {
                (last, next) = (step, next + 1);
                continue;
            }
            if (products.Index[last, step] is not (>= 0 and var index))
                return double.PositiveInfinity;
            (errors[count], steps[count]) = (index, step);
            count++;
        }
        var sum = 0.0;
        for (var a = 0; a < count; a++)
        {
            for (var b = 0; b <= a; b++)
                sum += (a == b ? 1 : 2) * Propagation[steps[a]] * Propagation[steps[b]] * products.Dots[errors[a]][errors[b]];
        }
        return Math.Sqrt(Math.Max(0, sum));
    }

    /// <summary>
    /// The schedule with the least Σⱼ ‖pⱼ·e(i → j)‖^power, by dynamic programming over the last full step. Power 1 takes the errors of all steps to point the
    /// same way, power 2 to be independent.
    /// </summary>
    /// <param name="fullSteps">1 to the number of steps.</param>
    /// <returns>The full steps, or null where no errors were measured over as many steps as so few full ones leave between them.</returns>
    public int[]? Cheapest(int fullSteps, double power)
    {
        // best[k, i]: the least cost of the steps before i, k of them full, if i is full, too (or the end); from: the full step before.
        var best = new double[fullSteps + 1, Steps + 1];
        var from = new int[fullSteps + 1, Steps + 1];
        for (var k = 0; k <= fullSteps; k++)
            for (var i = 0; i <= Steps; i++)
                best[k, i] = double.PositiveInfinity;
        best[0, 0] = 0;
        var costs = Costs(power);
        for (var k = 0; k < fullSteps; k++)
        {
            for (var i = 0; i < Steps; i++)
            {
                var cost = best[k, i];
                for (var next = i + 1; next <= Steps && double.IsFinite(cost); next++)
                {
                    if (cost < best[k + 1, next])
                        (best[k + 1, next], from[k + 1, next]) = (cost, i);
                    if (next < Steps)
                        cost += costs[i, next];
                }
            }
        }
        if (!double.IsFinite(best[fullSteps, Steps]))
            return null;
        var list = new int[fullSteps];
        for (int k = fullSteps, at = Steps; k > 0; k--)
            list[k - 1] = at = from[k, at];
        return list;
    }

    private double[,] Costs(double power)
    {
        var costs = new double[Steps, Steps];
        for (var i = 0; i < Steps; i++)
            for (var j = i + 1; j < Steps; j++)
                costs[i, j] = Errors[i, j] is { } error ? Math.Pow(Math.Abs(Propagation[j]) * TensorPrimitives.Norm<float>(error), power) : double.PositiveInfinity;
        return costs;
    }

    private (int[,] Index, double[][] Dots) Products()
    {
        var index = new int[Steps, Steps];
        var errors = new List<float[]>();
        for (var i = 0; i < Steps; i++)
        {
            for (var j = 0; j < Steps; j++)
            {
                index[i, j] = Errors[i, j] is null ? -1 : errors.Count;
                if (Errors[i, j] is { } error)
                    errors.Add(error);
            }
        }
        var dots = new double[errors.Count][];
        Parallel.For(0, dots.Length, a => dots[a] = [.. Enumerable.Range(0, dots.Length).Select(b => b <= a ? Dot(errors[a], errors[b]) : 0)]);
        for (var a = 0; a < dots.Length; a++)
            for (var b = a + 1; b < dots.Length; b++)
                dots[a][b] = dots[b][a];
        return (index, dots);
    }

    /// <summary>In double from chunk to chunk: of long sums little may be left.</summary>
    private static double Dot(ReadOnlySpan<float> a, ReadOnlySpan<float> b)
    {
        const int Chunk = 1024;
        var sum = 0.0;
        for (var start = 0; start < a.Length; start += Chunk)
            sum += TensorPrimitives.Dot(a[start..Math.Min(start + Chunk, a.Length)], b[start..Math.Min(start + Chunk, a.Length)]);
        return sum;
    }
}
