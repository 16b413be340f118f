using System.Reflection;

namespace QuantSdk.Planning;

/// <summary>One time of one kernel, measured.</summary>
/// <param name="Kernel">One of <see cref="CostKernels"/>.</param>
/// <param name="Shape"><see cref="WorkShape.ToString"/>.</param>
internal sealed record MeasuredCost(string Kernel, string Shape, double Microseconds);

/// <summary>What kernels cost on one class of CPU: the times measured, and for shapes that were not, a linear model of <see cref="WorkShape.Features"/>.</summary>
/// <param name="Threads">Threads the times were taken with.</param>
/// <param name="Kernels">Microseconds for each feature, by kernel; none is negative.</param>
internal sealed record CostTable(int Schema, string CpuClass, int Threads, IReadOnlyDictionary<string, IReadOnlyList<double>> Kernels, IReadOnlyList<MeasuredCost> Measured)
{
    private Dictionary<(string, string), double>? _exact;

    /// <summary>The table that is shipped for a class of CPU, or null where none was measured.</summary>
    public static CostTable? Shipped(string cpuClass)
    {
        using var stream = Assembly.GetExecutingAssembly().GetManifestResourceStream($"QuantSdk.Costs.{cpuClass}.json");
        if (stream is null)
            return null;
        using var reader = new StreamReader(stream);
        return QuantSdkJson.Read<CostTable>(reader.ReadToEnd());
    }

    /// <summary>The time of a kernel; where its shape was not measured, by the model.</summary>
    public double Microseconds(string kernel, WorkShape shape)
    {
        _exact ??= Measured.GroupBy(m => (m.Kernel, m.Shape)).ToDictionary(g => g.Key, g => g.First().Microseconds);
        return _exact.TryGetValue((kernel, shape.ToString()), out var time) ? time : Modelled(kernel, shape);
    }

    /// <summary>The time by the model alone.</summary>
    public double Modelled(string kernel, WorkShape shape) => Kernels[kernel].Zip(shape.Features(), (c, f) => c * f).Sum();

    /// <summary>True where every kernel has its model, and every number is finite and none negative.</summary>
    public bool IsWhole => Schema == 1 && CpuClass is not null && Kernels is not null && Measured is not null
        && CostKernels.All.All(k => Kernels.TryGetValue(k, out var coefficients) && coefficients is not null && coefficients.Count == CostKernels.FeaturesOf(k) && coefficients.All(c => double.IsFinite(c) && c >= 0))
        && Measured.All(m => m is { Kernel: not null, Shape: not null } && double.IsFinite(m.Microseconds) && m.Microseconds >= 0);
}

/// <summary>The kernels that a cost table knows.</summary>
internal static class CostKernels
{
    /// <summary>MatMul or Gemm and its bias; u8 × s8 to float with its bias; the same with ranges found at run time.</summary>
    public const string LinearFloat = "linear.float", LinearInt8 = "linear.int8", LinearDynamic = "linear.int8-dynamic";

    /// <summary>Convolutions in the layout of their kernels: blocked in float, channels last in int8.</summary>
    public const string ConvFloat = "conv.float", ConvInt8 = "conv.int8", DepthwiseFloat = "depthwise.float", DepthwiseInt8 = "depthwise.int8";

    /// <summary>What lies between layers: QuantizeLinear, DequantizeLinear, a change of layout of bytes, of floats.</summary>
    public const string Quantize = "quantize", Dequantize = "dequantize", Transpose = "transpose", Reorder = "reorder";

    public static IReadOnlyList<string> All { get; } = [LinearFloat, LinearInt8, LinearDynamic, ConvFloat, ConvInt8, DepthwiseFloat, DepthwiseInt8, Quantize, Dequantize, Transpose, Reorder];

    /// <summary>The kernel of a layer.</summary>
    public static string Of(WorkShape shape, bool int8) => (shape.Kind, int8) switch
    {
        (WorkShape.Linear, false) => LinearFloat,
        (WorkShape.Linear, true) => LinearInt8,
        (WorkShape.Depthwise, false) => DepthwiseFloat,
        (WorkShape.Depthwise, true) => DepthwiseInt8,
        (_, false) => ConvFloat,
        (_, true) => ConvInt8,
    };

    public static int FeaturesOf(string kernel) => kernel switch
    {
        Quantize or Dequantize or Transpose or Reorder => 2,
        DepthwiseFloat or DepthwiseInt8 => 3,
        _ => 5,
    };
}
