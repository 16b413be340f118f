using QuantSdk.Calibration;
using QuantSdk.Runtime;

namespace QuantSdk.Caching.Hoisting;

/// <summary>The invariant of hoisting, on the engine as it is shipped: every output has the bits that it has where nothing is hoisted.</summary>
internal static class HoistCheck
{
    /// <param name="whole">The same lowered model, undivided.</param>
    /// <param name="hoisted">The rest with its heads.</param>
    /// <param name="row">Inputs of the model, one row.</param>
    /// <exception cref="QuantSdkException">QSDK3080 where a bit differs.</exception>
    public static void Run(ModelSession whole, ModelSession hoisted, Feed row)
    {
        using var runner = new RowRunner(whole, row.Batch ?? 1);
        runner.Run(row, null, null, (seen, _, _) =>
        {
            using var binding = hoisted.Bind(hoisted.Inputs.ToDictionary(i => i.Name, i => seen.InputShape(i.Name).ToArray(), StringComparer.Ordinal));
            foreach (var input in hoisted.Inputs)
                seen.InputBytes(input.Name).CopyTo(binding.InputBytes(input.Name));
            binding.Run();
            foreach (var output in hoisted.Outputs)
            {
                if (!seen.OutputTensor(output.Name).Bytes.SequenceEqual(binding.OutputTensor(output.Name).Bytes))
                    throw new QuantSdkException("QSDK3080", $"Hoist=true: with what does not depend on the sample computed apart, '{output.Name}' differs from what the undivided engine computes. Leave Hoist out for this model, and report it.", hoisted.File, output.Name);
            }
        }, default);
    }
}
