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
    public int Steps => Propagation.Length;

    private int Length => Errors.Cast<float[]?>().First(error => error is not null)!.Length;

    /// <summary>‖Σⱼ pⱼ·e(i → j)‖: what a schedule changes in the final samples, to first order. Infinite where an error was not measured.</summary>
    public double Predict(ReadOnlySpan<int> full) =>
        Change(full, Propagation) is { } change ? TensorPrimitives.Norm<float>(change) : double.PositiveInfinity;

    /// <summary>Σⱼ wⱼ·e(i → j), or null where an error was not measured.</summary>
    public float[]? Change(ReadOnlySpan<int> full, ReadOnlySpan<double> weights)
    {
        var sum = new float[Length];
        for (int step = 0, next = 0, last = 0; step < Steps; step++)
        {
            if (next < full.Length && full[next] == step)
            {
                (last, next) = (step, next + 1);
                continue;
            }
            if (Errors[last, step] is not { } error)
                return null;
            if (weights[step] != 0)
                TensorPrimitives.MultiplyAdd(error, (float)weights[step], sum, sum);
        }
        return sum;
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
}
