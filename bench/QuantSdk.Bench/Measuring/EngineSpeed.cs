using QuantSdk.Calibration;
using QuantSdk.Runtime;

namespace QuantSdk.Bench;

/// <summary>How much faster an engine is than the float model.</summary>
internal static class EngineSpeed
{
    private const int Rows = 2;
    private const int Rounds = 30;

    /// <summary>Float over int8 time for two rows of the test, medians of interleaved runs.</summary>
    public static double Ratio(ModelSession reference, ModelSession engine, CalibrationSource test)
    {
        double[]? medians = null;
        test.Run(reference, (_, _) => Rows, (seen, _) =>
        {
            if (medians is not null)
                return;
            using var binding = engine.Bind(reference.Inputs.ToDictionary(i => i.Name, i => seen.InputShape(i.Name).ToArray()));
            foreach (var input in reference.Inputs)
                seen.InputBytes(input.Name).CopyTo(binding.InputBytes(input.Name));
            medians = [.. Interleaved.Rounds(Rounds, Interleaved.Spinning, seen.Run, binding.Run).Select(Interleaved.Median)];
        }, null, CancellationToken.None);
        return medians![0] / medians[1];
    }
}
