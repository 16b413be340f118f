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
        var values = weight.ToFloats();
        var smoothed = Smoothed(values, shape, factors);
        if (rounded is null && plan is not { Format: "int8", BlockSize: 0, ZeroPoint: false })
        {
            var grid = IntBlocks.Grid(smoothed, weight.Dims, plan.Axis, Format(plan, negativeScales), plan.Tensor);
            rounded = new RoundedWeight(IntBlocks.Encode(smoothed, grid), grid);
        }
        var (codes, scales) = rounded is null ? Int8Weights.Encode(smoothed, weight.Dims, plan.Axis) : (rounded.Codes, rounded.Grid.Scales);
        var (rounding, centring) = (new double[shape.Outputs], new double[shape.Outputs]);
        if (means is not null)
        {
            var decoded = rounded is null ? null : IntBlocks.Decode(codes, rounded.Grid);
            var inner = (int)weight.Dims.Skip(plan.Axis + 1).Aggregate(1L, (a, b) => a * b);
            for (var i = 0; i < values.Length; i++)
            {
                var (output, channel) = (shape.Position(i).Output, shape.Channel(i));
                var here = decoded?[i] ?? (double)codes[i] * scales[i / inner % scales.Length];
                var centre = centres?[channel] ?? 0;
                rounding[output] += (smoothed[i] - here) * (means[channel] - centre) / (factors?[channel] ?? 1);
                centring[output] += (double)values[i] * centre;
            }
        }
        return new EncodedLayer("", codes, scales, rounded?.Grid, rounding, centring);
    }

    /// <summary>W·f.</summary>
    public static float[] Smoothed(float[] values, WeightShape shape, float[]? factors)
    {
        if (factors is null)
            return values;
        var smoothed = new float[values.Length];
        for (var i = 0; i < values.Length; i++)
            smoothed[i] = values[i] * factors[shape.Channel(i)];
        return smoothed;
    }

    public static IntFormat Format(WeightPlan plan, bool negativeScales) => WeightOnlyPlanner.FormatOf(plan) with { NegativeScales = negativeScales, SearchClip = plan.Rounding != "nearest" };
}
