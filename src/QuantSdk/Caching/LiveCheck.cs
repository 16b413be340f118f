using System.Globalization;
using QuantSdk.Calibration;
using QuantSdk.Runtime;

namespace QuantSdk.Caching;

/// <summary>The invariant of a cut, on the engines as they are shipped: the live part on the cached tensors of a step gives what the full model gave.</summary>
internal static class LiveCheck
{
    /// <summary>Relative L2 difference that float engines may have: sums are added in another order where ONNX Runtime fuses otherwise.</summary>
    private const double FloatTolerance = 1e-5;

    /// <summary>Steps of an 8-bit grid over the range of an output; a residual that is subtracted and added again may move a value across one rounding.</summary>
    private const int Grid = 255;

    /// <param name="row">Inputs of the model, one row.</param>
    /// <param name="quantised">True where activations are in few bits.</param>
    /// <returns>Relative L2 difference over all float outputs.</returns>
    /// <exception cref="QuantSdkException">QSDK3068 where the two differ by more than rounding.</exception>
    public static double Run(ModelSession full, ModelSession live, IReadOnlyList<string> cached, Feed row, bool quantised, string cut)
    {
        double error = 0, signal = 0;
        using var runner = new RowRunner(full, row.Batch ?? 1);
        runner.Run(row, null, null, (seen, _, _) =>
        {
            using var binding = live.Bind(live.Inputs.ToDictionary(i => i.Name, i => cached.Contains(i.Name) ? seen.OutputShape(i.Name).ToArray() : seen.InputShape(i.Name).ToArray(), StringComparer.Ordinal));
            foreach (var input in live.Inputs)
            {
                if (cached.Contains(input.Name))
                    seen.OutputTensor(input.Name).Bytes.CopyTo(binding.InputBytes(input.Name));
                else
                    seen.InputBytes(input.Name).CopyTo(binding.InputBytes(input.Name));
            }
            binding.Run();
            foreach (var output in live.Outputs.Where(o => o.Type.Type == typeof(float) || o.Type.Type == typeof(Half)))
            {
                ReadOnlySpan<float> a = seen.OutputFloats(output.Name), b = binding.OutputFloats(output.Name);
                float least = float.MaxValue, most = float.MinValue, largest = 0;
                for (var i = 0; i < a.Length; i++)
                {
                    error += (a[i] - (double)b[i]) * (a[i] - (double)b[i]);
                    signal += a[i] * (double)a[i];
                    (least, most) = (Math.Min(least, a[i]), Math.Max(most, a[i]));
                    largest = Math.Abs(a[i] - b[i]) is var d && d > largest ? d : largest;
                }
                var step = (most - least) / Grid;
                if (quantised && !(largest <= step))
                    throw Broken(cut, $"differs by {largest.ToString("g3", CultureInfo.InvariantCulture)} in '{output.Name}', more than the quantisation step {step.ToString("g3", CultureInfo.InvariantCulture)}");
            }
        }, default);
        var difference = signal > 0 ? Math.Sqrt(error / signal) : Math.Sqrt(error);
        if (!quantised && !(difference <= FloatTolerance))
            throw Broken(cut, $"has a relative difference of {difference.ToString("g3", CultureInfo.InvariantCulture)}, above {FloatTolerance.ToString("g1", CultureInfo.InvariantCulture)}");
        return difference;
    }

    private static QuantSdkException Broken(string cut, string difference) => new("QSDK3068",
        $"Cache='{cut}': the live part, given what the full engine caches in the same step, {difference}. Choose another cut, and report this one.");
}
