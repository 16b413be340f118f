using QuantSdk.Engines;
using QuantSdk.Planning;
using QuantSdk.Runtime;

namespace QuantSdk.Bench;

/// <summary>Measures the cost table of this machine's class of CPU, against float, and writes it where the shipped ones lie.</summary>
internal static class CostsBench
{
    /// <summary>One: what two threads gain depends on the neighbours, and both sides gain it.</summary>
    private const int Threads = 1;

    public static void Run(Report report)
    {
        var cpuClass = CpuClass.Of(CpuFeatures.Current);
        var clock = new KernelClock(Threads, TimeSpan.FromMilliseconds(250), CancellationToken.None);
        var table = CostMeasurement.Measure(CostMeasurement.Grid, cpuClass, clock, Threads, fallback: null, progress: null);
        report.Row("layer", "float µs", "int8 µs", "speedup", "dynamic µs", "model float", "model int8");
        var ratios = new List<double>();
        foreach (var shape in CostMeasurement.Grid)
        {
            string inFloat = CostKernels.Of(shape, false), inInt8 = CostKernels.Of(shape, true);
            double f = table.Microseconds(inFloat, shape), q = table.Microseconds(inInt8, shape);
            var dynamic = shape.Kind == WorkShape.Linear ? $"{table.Microseconds(CostKernels.LinearDynamic, shape):f2}" : "";
            report.Row($"{shape.Kind} {shape}", $"{f:f2}", $"{q:f2}", $"{f / q:f2}x", dynamic, $"{table.Modelled(inFloat, shape):f2}", $"{table.Modelled(inInt8, shape):f2}");
            ratios.Add(f / q);
        }
        foreach (var kernel in (string[])[CostKernels.Quantize, CostKernels.Dequantize, CostKernels.Transpose, CostKernels.Reorder])
            report.Row($"{kernel} 65536 elements", $"{table.Microseconds(kernel, WorkShape.OfElements(65536)):f2}");
        foreach (var kernel in CostKernels.All)
            report.Figure($"costs_{kernel.Replace('.', '_').Replace('-', '_')}_model_error", Error(table, kernel));
        report.Figure("costs_int8_speedup_median", Interleaved.Median(ratios));
        var file = Path.Combine(Repository.Root, "artifacts", $"{cpuClass}.json");
        Directory.CreateDirectory(Path.GetDirectoryName(file)!);
        File.WriteAllText(file, QuantSdkJson.Write(table));
        report.Line($"  written to {Path.GetRelativePath(Repository.Root, file)}; the tool ships src/QuantSdk/Planning/Costs/{cpuClass}.json");
    }

    /// <summary>Median of |model − measured| / measured.</summary>
    private static double Error(CostTable table, string kernel) =>
        Interleaved.Median(CostMeasurement.Grid.Concat(table.Measured.Where(m => m.Kernel == kernel && long.TryParse(m.Shape, out _)).Select(m => WorkShape.OfElements(long.Parse(m.Shape))))
            .Where(s => table.Measured.Any(m => m.Kernel == kernel && m.Shape == s.ToString()))
            .Select(s => Math.Abs(table.Modelled(kernel, s) - table.Microseconds(kernel, s)) / Math.Max(0.05, table.Microseconds(kernel, s))).DefaultIfEmpty(0));
}
