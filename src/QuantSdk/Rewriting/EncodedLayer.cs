using QuantSdk.Numerics;
using QuantSdk.Onnx;
using QuantSdk.Planning;

namespace QuantSdk.Rewriting;

/// <summary>A layer's weight in int8, and what its bias has to take up.</summary>
/// <param name="Name">Of the dequantised tensor.</param>
/// <param name="Codes">Row-major, as the weight.</param>
/// <param name="Scales">One an output channel (of a group, for ConvTranspose).</param>
/// <param name="RoundingCorrection">
/// Per output channel, the mean error that rounding the weights makes: Σ (W·f − Ŵ)·E[y] with y = (x − centre)/f (Nagel et al. 2019,
/// "Data-Free Quantization", eq. 17). Zero where means were not observed.
/// </param>
/// <param name="CentreCorrection">Per output channel, what centring took away: Σ W·centre.</param>
internal sealed record EncodedLayer(string Name, sbyte[] Codes, float[] Scales, double[] RoundingCorrection, double[] CentreCorrection)
{
    public static EncodedLayer Encode(TensorProto weight, WeightShape shape, WeightPlan plan, float[]? factors, float[]? means, float[]? centres)
    {
        var values = weight.ToFloats();
        var smoothed = values;
        if (factors is not null)
        {
            smoothed = new float[values.Length];
            for (var i = 0; i < values.Length; i++)
                smoothed[i] = values[i] * factors[shape.Channel(i)];
        }
        var (codes, scales) = Int8Weights.Encode(smoothed, weight.Dims, plan.Axis);
        var (rounding, centring) = (new double[shape.Outputs], new double[shape.Outputs]);
        if (means is not null)
        {
            var inner = (int)weight.Dims.Skip(plan.Axis + 1).Aggregate(1L, (a, b) => a * b);
            for (var i = 0; i < values.Length; i++)
            {
                var (output, channel) = (shape.Position(i).Output, shape.Channel(i));
                var decoded = (double)codes[i] * scales[i / inner % scales.Length];
                var centre = centres?[channel] ?? 0;
                rounding[output] += (smoothed[i] - decoded) * (means[channel] - centre) / (factors?[channel] ?? 1);
                centring[output] += (double)values[i] * centre;
            }
        }
        return new EncodedLayer("", codes, scales, rounding, centring);
    }
}
