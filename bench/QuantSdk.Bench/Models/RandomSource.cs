using QuantSdk.Calibration;
using QuantSdk.Runtime;

namespace QuantSdk.Bench;

/// <summary>Batches of random inputs for a model whose weights are random too: Gaussian numbers, tokens of any vocabulary, masks that hide nothing.</summary>
internal sealed class RandomSource(int batches, int seed) : CalibrationSource
{
    private const int Rows = 4;

    /// <summary>Sizes of the dimensions that the exports leave open (RecurrentGemma's runs at 16 tokens alone).</summary>
    private static readonly Dictionary<string, long> s_sizes = new(StringComparer.Ordinal) { ["batch"] = Rows, ["b"] = Rows, ["s"] = 16, ["h"] = 6, ["w"] = 4 };

    /// <summary>No export has fewer tokens.</summary>
    private const int Vocabulary = 64;

    public override void Run(ModelSession session, BatchPolicy batch, RowsSeen seen, Action<int, int>? progress, CancellationToken cancellationToken)
    {
        using var binding = session.Bind(session.Inputs.ToDictionary(i => i.Name, i => i.Shape.Select((d, axis) => d > 0 ? d : s_sizes[i.Symbols[axis]]).ToArray()));
        for (var number = 0; number < batches; number++)
        {
            var random = new Random(seed + number);
            foreach (var input in session.Inputs.OrderBy(i => i.Name, StringComparer.Ordinal))
                Fill(binding, input, random);
            binding.Run();
            seen(binding, Rows, new BatchKey(number, null));
            progress?.Invoke(number + 1, batches);
        }
    }

    private static void Fill(ModelBinding binding, Port input, Random random)
    {
        if (input.Type.Name == "int64")
        {
            var mask = input.Name.Contains("mask", StringComparison.Ordinal);
            foreach (ref var value in binding.Input<long>(input.Name))
                value = mask ? 1 : random.Next(1, Vocabulary);
        }
        else
        {
            var values = binding.Input<float>(input.Name);
            // Times between 0 and 1 suit every one of them; the rest is Gaussian as latents are.
            if (input.Shape.Length <= 1)
                foreach (ref var value in values)
                    value = random.NextSingle();
            else
                TorchRandom.Normal(random.Next(), values);
        }
    }
}
