namespace QuantSdk.Caching.Schedules;

/// <summary>
/// What a schedule will change in the final samples: the first-order prediction of the drift, corrected by runs. The logarithm of observed over predicted
/// change is taken for a Gaussian process over schedules (Rasmussen and Williams 2006, equations 2.25 and 2.26): runs of similar schedules err alike.
/// </summary>
internal sealed class ScheduleModel
{
    /// <summary>The kernel's length: schedules are 1 apart where no step reads the features of the same full step.</summary>
    private const double Length = 0.3;

    /// <summary>The kernel's deviation where nothing was observed, and the share of its variance that is no property of a schedule's neighbourhood.</summary>
    private const double Deviation = 0.25, Noise = 0.02;

    private readonly DriftTable _drift;
    private readonly int[][] _sources;
    private readonly double _mean;
    private readonly double[,] _cholesky;
    private readonly double[] _weights;

    /// <param name="observed">Schedules and ‖samples − uncached‖ of their runs.</param>
    public ScheduleModel(DriftTable drift, IReadOnlyList<(int[] Full, double Change)> observed)
    {
        _drift = drift;
        var residuals = observed.Select(o => (o.Full, Log: Math.Log(o.Change / drift.Predict(o.Full)))).Where(o => double.IsFinite(o.Log)).ToArray();
        _sources = [.. residuals.Select(r => Sources(r.Full))];
        _mean = residuals.Length == 0 ? 0 : residuals.Average(r => r.Log);
        _cholesky = Factor();
        _weights = Solve([.. residuals.Select(r => r.Log - _mean)], transposedToo: true);
    }

    /// <summary>Logarithm of the expected change, less half a deviation of what is not known: what has not been tried is given some credit.</summary>
    public double Score(int[] full) => Expected(full) - 0.5 * Math.Sqrt(Variance(full));

    /// <summary>Logarithm of the expected change of the samples.</summary>
    public double Expected(int[] full)
    {
        var own = Sources(full);
        return Math.Log(_drift.Predict(full)) + _mean + _sources.Zip(_weights, (other, weight) => Kernel(own, other) * weight).Sum();
    }

    private double Variance(int[] full)
    {
        var own = Sources(full);
        var v = Solve([.. _sources.Select(other => Kernel(own, other))], transposedToo: false);
        return Math.Max(0, Deviation * Deviation - v.Sum(x => x * x));
    }

    /// <summary>The full step that each step reads the features of.</summary>
    private int[] Sources(int[] full)
    {
        var sources = new int[_drift.Steps];
        for (int step = 0, next = 0, last = 0; step < sources.Length; step++)
        {
            if (next < full.Length && full[next] == step)
                (last, next) = (step, next + 1);
            sources[step] = last;
        }
        return sources;
    }

    private static double Kernel(int[] a, int[] b)
    {
        var different = 0;
        for (var i = 0; i < a.Length; i++)
            different += a[i] != b[i] ? 1 : 0;
        return Deviation * Deviation * Math.Exp(-(double)different / a.Length / Length);
    }

    /// <summary>L of K + noise = L·Lᵀ.</summary>
    private double[,] Factor()
    {
        var n = _sources.Length;
        var l = new double[n, n];
        for (var i = 0; i < n; i++)
        {
            for (var j = 0; j <= i; j++)
            {
                var sum = Kernel(_sources[i], _sources[j]) + (i == j ? Noise * Deviation * Deviation : 0);
                for (var k = 0; k < j; k++)
                    sum -= l[i, k] * l[j, k];
                l[i, j] = i == j ? Math.Sqrt(sum) : sum / l[j, j];
            }
        }
        return l;
    }

    /// <summary>L⁻¹·b, or L⁻ᵀ·L⁻¹·b.</summary>
    private double[] Solve(double[] b, bool transposedToo)
    {
        for (var i = 0; i < b.Length; i++)
        {
            for (var k = 0; k < i; k++)
                b[i] -= _cholesky[i, k] * b[k];
            b[i] /= _cholesky[i, i];
        }
        for (var i = b.Length - 1; i >= 0 && transposedToo; i--)
        {
            for (var k = i + 1; k < b.Length; k++)
                b[i] -= _cholesky[k, i] * b[k];
            b[i] /= _cholesky[i, i];
        }
        return b;
    }
}
