using QuantSdk.Planning;

namespace QuantSdk.Engines;

/// <summary>Makes cost tables: times kernels on this machine and fits their models.</summary>
internal static class CostMeasurement
{
    private static readonly string[] s_moves = [CostKernels.Quantize, CostKernels.Dequantize, CostKernels.Transpose, CostKernels.Reorder];

    /// <summary>Elements of tensors between layers.</summary>
    private static readonly long[] s_elements = [1024, 4096, 16384, 65536, 262144, 1048576];

    private static readonly long[] s_rows = [2, 16, 128, 512, 2048];

    private static readonly (long Inputs, long Outputs)[] s_linears =
        [(32, 32), (48, 48), (48, 384), (192, 48), (64, 64), (64, 512), (96, 96), (96, 384), (384, 96), (320, 320), (320, 1280), (1280, 320), (768, 3072)];

    private static readonly (long Side, long Inputs, long Outputs, long Taps)[] s_convolutions =
    [
        (8, 16, 16, 9), (8, 64, 64, 9), (8, 128, 64, 9), (8, 64, 64, 1), (8, 128, 64, 1), (8, 320, 320, 9), (16, 16, 32, 9), (16, 48, 48, 9), (16, 112, 48, 9), (16, 48, 48, 1), (16, 112, 48, 1), (16, 320, 320, 9), (16, 320, 320, 1),
        (32, 8, 16, 9), (32, 16, 32, 9), (32, 24, 24, 9), (32, 48, 24, 9), (32, 72, 24, 9), (32, 24, 24, 1), (32, 72, 24, 1), (32, 128, 128, 9), (32, 128, 128, 1), (32, 320, 320, 1), (64, 16, 16, 9), (64, 64, 64, 9), (64, 64, 64, 1), (64, 64, 128, 1),
    ];

    private static readonly (long Side, long Channels, long Taps)[] s_depthwise = [(8, 64, 9), (16, 64, 9), (16, 192, 9), (32, 32, 9), (32, 96, 9), (64, 32, 9), (16, 96, 25), (32, 48, 25)];

    /// <summary>Every layer shape of interest: what the shipped tables are made of.</summary>
    public static IReadOnlyList<WorkShape> Grid { get; } =
    [
        .. s_rows.SelectMany(r => s_linears.Select(l => new WorkShape(WorkShape.Linear, r, l.Inputs, l.Outputs, Bias: true))).Where(s => s.Rows * s.Inputs * s.Outputs <= 1L << 30),
        .. s_convolutions.Select(c => WorkShape.OfConvolution(c.Side * c.Side, c.Inputs, c.Outputs, c.Taps, 1)),
        .. s_depthwise.Select(d => WorkShape.OfConvolution(d.Side * d.Side, d.Channels, d.Channels, d.Taps, d.Channels)),
    ];

    /// <summary>A table of the times of <paramref name="shapes"/>, with a model for all others.</summary>
    /// <param name="fallback">Models for the kinds of layers that are not among the shapes, or null.</param>
    /// <param name="progress">Told how many measurements of how many are done.</param>
    public static CostTable Measure(IReadOnlyList<WorkShape> shapes, string cpuClass, KernelClock clock, int threads, CostTable? fallback, Action<int, int>? progress)
    {
        var distinct = shapes.Distinct().ToArray();
        var total = s_elements.Length + distinct.Length;
        var rows = new List<(string Kernel, WorkShape Shape, double Microseconds)>();
        foreach (var elements in s_elements)
        {
            var shape = WorkShape.OfElements(elements);
            Add(shape, s_moves, clock.Microseconds(shape, s_moves));
        }
        var models = s_moves.ToDictionary(k => k, k => (IReadOnlyList<double>)Fit(k), StringComparer.Ordinal);
        double Moved(string kernel, long elements) => models[kernel].Zip(WorkShape.OfElements(elements).Features(), (c, f) => c * f).Sum();
        foreach (var shape in distinct)
        {
            string[] kernels = shape.Kind == WorkShape.Linear ? [CostKernels.LinearFloat, CostKernels.LinearInt8, CostKernels.LinearDynamic] : [CostKernels.Of(shape, false), CostKernels.Of(shape, true)];
            var times = clock.Microseconds(shape, kernels);
            if (shape.Kind != WorkShape.Linear)
            {
                // The copies bring their outputs back to the caller's layout; the table counts that apart. A kernel is not timed below a fifth of the whole.
                var outputs = shape.Rows * shape.Outputs;
                times[0] = Math.Max(times[0] / 5, times[0] - Moved(CostKernels.Reorder, outputs));
                times[1] = Math.Max(times[1] / 5, times[1] - Moved(CostKernels.Transpose, outputs) - Moved(CostKernels.Dequantize, outputs));
            }
            Add(shape, kernels, times);
        }
        foreach (var kernel in CostKernels.All.Except(s_moves))
            models[kernel] = rows.Any(r => r.Kernel == kernel) ? Fit(kernel) : fallback?.Kernels[kernel] ?? new double[CostKernels.FeaturesOf(kernel)];
        return new CostTable(
            1, cpuClass, threads, CostKernels.All.ToDictionary(k => k, k => (IReadOnlyList<double>)[.. models[k].Select(c => Significant(c))], StringComparer.Ordinal),
            [.. rows.Select(r => new MeasuredCost(r.Kernel, r.Shape.ToString(), Math.Round(r.Microseconds, 2)))]);

        void Add(WorkShape shape, IReadOnlyList<string> kernels, double[] times)
        {
            for (var i = 0; i < kernels.Count; i++)
                rows.Add((kernels[i], shape, times[i]));
            progress?.Invoke(rows.Select(r => r.Shape).Distinct().Count(), total);
        }

        double[] Fit(string kernel) => CostFit.Coefficients([.. rows.Where(r => r.Kernel == kernel).Select(r => (r.Shape.Features(), r.Microseconds))]);
    }

    private static double Significant(double value) => double.Parse(value.ToString("G5", System.Globalization.CultureInfo.InvariantCulture), System.Globalization.CultureInfo.InvariantCulture);
}
