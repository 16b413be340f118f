using QuantSdk.Numerics;
using QuantSdk.Onnx;
using QuantSdk.Planning;

namespace QuantSdk.Rewriting;

/// <summary>A layer's weight in integers, and what its bias has to take up.</summary>
/// <param name="Name">Of the dequantised tensor.</param>
/// <param name="Codes">Row-major, as the weight.</param>
/// <param name="Scales">One an output channel (of a group, for ConvTranspose), or one a block.</param>
/// <param name="Grid">Null for int8 with one scale a channel.</param>
/// <param name="RoundingCorrection">
/// Per output channel, the mean error that rounding the weights makes: Σ (W·f − Ŵ)·E[y] with y = (x − centre)/f (Nagel et al. 2019,
/// "Data-Free Quantization", eq. 17). Zero where means were not observed.
/// </param>
/// <param name="CentreCorrection">Per output channel, what centring took away: Σ W·centre.</param>
internal sealed record EncodedLayer(string Name, sbyte[] Codes, float[] Scales, IntGrid? Grid, double[] RoundingCorrection, double[] CentreCorrection)
{
    public static EncodedLayer Encode(TensorProto weight, WeightShape shape, WeightPlan plan, float[]? factors, float[]? means, float[]? centres, RoundedWeight? rounded, bool negativeScales)
    {
        var (values, smoothed) = Smooth(weight, shape, factors);
        if (rounded is null && plan is not { Format: "int8", BlockSize: 0, ZeroPoint: false })
        {
            var grid = IntBlocks.Grid(smoothed, weight.Dims, plan.Axis, Format(plan, negativeScales), plan.Tensor);
            rounded = new RoundedWeight(IntBlocks.Encode(smoothed, grid), grid);
        }
        var (codes, scales) = rounded is null ? Int8Weights.Encode(smoothed, weight.Dims, plan.Axis) : (rounded.Codes, rounded.Grid.Scales);
        var decoded = rounded is null || means is null ? null : IntBlocks.Decode(codes, rounded.Grid);
        var inner = (int)weight.Dims.Skip(plan.Axis + 1).Aggregate(1L, (a, b) => a * b);
        var (rounding, centring) = Corrections(values, smoothed, i => decoded?[i] ?? (double)codes[i] * scales[i / inner % scales.Length], shape, factors, means, centres);
        return new EncodedLayer("", codes, scales, rounded?.Grid, rounding, centring);
    }

    public static IntFormat Format(WeightPlan plan, bool negativeScales) => WeightOnlyPlanner.FormatOf(plan) with { NegativeScales = negativeScales, SearchClip = plan.Rounding != "nearest" };

    /// <summary>A weight's values, and what they are with the factors of their input channels.</summary>
    public static (float[] Values, float[] Smoothed) Smooth(TensorProto weight, WeightShape shape, float[]? factors)
    {
        var values = weight.ToFloats();
        if (factors is null)
            return (values, values);
        var smoothed = new float[values.Length];
        for (var i = 0; i < values.Length; i++)
            smoothed[i] = values[i] * factors[shape.Channel(i)];
        return (values, smoothed);
    }

    /// <param name="decoded">What the codes of <paramref name="smoothed"/> stand for.</param>
    public static (double[] Rounding, double[] Centring) Corrections(
        float[] values, float[] smoothed, Func<int, double> decoded, WeightShape shape, float[]? factors, float[]? means, float[]? centres)
    {
        var (rounding, centring) = (new double[shape.Outputs], new double[shape.Outputs]);
        for (var i = 0; means is not null && i < values.Length; i++)
        {
            var (output, channel) = (shape.Position(i).Output, shape.Channel(i));
            var centre = centres?[channel] ?? 0;
            rounding[output] += (smoothed[i] - decoded(i)) * (means[channel] - centre) / (factors?[channel] ?? 1);
            centring[output] += (double)values[i] * centre;
        }
        return (rounding, centring);
    }
}
